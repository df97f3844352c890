"""Cross-validation folds that keep a project on one side."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold


def project_folds(projects: pd.Series, folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold that holds out each record, shape (records,).

    Projects are shuffled and dealt into `folds` equal parts, fewer when there are fewer projects. A single
    project cannot be held out: all its records get -1.
    """
    codes, names = pd.factorize(projects, sort=True)
    fold = np.full(len(codes), -1, dtype=np.int64)
    if len(names) < 2:
        return fold
    splitter = GroupKFold(min(folds, len(names)), shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(codes, groups=codes)):
        fold[held_out] = number
    return fold
