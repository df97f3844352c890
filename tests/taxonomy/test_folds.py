"""Folds that keep a project on one side."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from attention_faults.taxonomy.folds import project_folds

projects = st.lists(st.sampled_from([f"p{i}" for i in range(9)]), min_size=1, max_size=40).map(pd.Series)


@given(projects, st.integers(2, 6), st.integers(0, 9))
def test_a_project_is_held_out_as_a_whole_and_once(projects, folds, seed):
    fold = pd.Series(project_folds(projects, folds, seed))
    assert (fold.groupby(projects).nunique() == 1).all()
    if projects.nunique() > 1:
        assert sorted(fold.unique()) == list(range(min(folds, projects.nunique())))


def test_a_single_project_is_never_held_out():
    assert project_folds(pd.Series(["p", "p"]), 10, 0).tolist() == [-1, -1]


def test_folds_hold_equally_many_projects_in_an_order_of_the_seed():
    projects = pd.Series([f"p{i:02}" for i in range(40)])
    first, again, other = (project_folds(projects, 10, seed) for seed in (1, 1, 2))
    assert np.bincount(first).tolist() == [4] * 10
    assert (first == again).all()
    assert (first != other).any()
    assert (first != np.repeat(np.arange(10), 4)).any()


def test_folds_do_not_depend_on_the_order_of_records():
    projects = pd.Series([f"p{i % 13}" for i in range(50)])
    turned = projects[::-1].reset_index(drop=True)
    assert (project_folds(projects, 5, 3) == project_folds(turned, 5, 3)[::-1]).all()
