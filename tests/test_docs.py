"""What the documentation shows works as it says."""

import re
from pathlib import Path

import pytest
from torch import nn

from attention_faults.faults.fault import Fault, check_effect, places
from attention_faults.faults.operator import CATALOGUE, catalogue
from attention_faults.localisation import measurement, metric
from attention_faults.study import Measuring
from attention_faults.subjects.subject import Subject
from attention_faults.subjects.training import Plan, Run, train

EXTENDING = Path(__file__).parents[1] / "docs/extending.md"
HEAD = """
from contextlib import AbstractContextManager
import torch
from torch import Tensor
from attention_faults.faults.injection import replaced
from attention_faults.faults.operator import operator
from attention_faults.subjects.attention import Site
"""


def test_model_and_fault_of_the_page_work_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model_code, fault_code, metric_code = re.findall(r"```python\n(.*?)```", EXTENDING.read_text(), re.DOTALL)
    catalogue()
    monkeypatch.setattr(Subject, "registry", dict(Subject.registry))
    exec(model_code, {"__name__": "attention_faults.subjects.mine"})
    exec(HEAD + fault_code, {})
    try:
        subject = Subject.named("mine")()
        plan = Plan.of(subject, subject.task(0), seed=1)
        model = subject.build(plan.task, seed=1)
        in_blocks = [id(parameter) for block in subject.blocks(model).values() for parameter in block]
        assert sorted(in_blocks) == sorted(map(id, model.parameters()))
        new = CATALOGUE["positive_scores_too_large"]
        assert places(new, subject, model) == ["layer"]
        for operator in CATALOGUE.values():
            for place in places(operator, subject, model):
                for severity in operator.severities:
                    check_effect(Fault(operator.id, place, severity), model, plan, plan.task.train)
        run = train(model, plan)
        assert run.outcome == "finished"
        assert run.scores[-1].loss < run.scores[0].loss
        measured_by_default = set(metric.catalogue())
        exec(metric_code, {})
        assert "largest_weight" in _metrics_of(subject, plan, model, run)
        assert set(metric.CATALOGUE) - measured_by_default == {"largest_weight"}
    finally:
        del CATALOGUE["positive_scores_too_large"]
        metric.CATALOGUE.pop("largest_weight", None)


def _metrics_of(subject: Subject, plan: Plan, model: nn.Module, run: Run) -> set[str]:
    how = Measuring(batch=32)
    batch = next(measurement._batches(plan.task.train, how.batch, 0))
    measured, refusal = measurement._measure(subject, model.eval(), [batch], run.checkpoints, "end", how, 0)
    assert not refusal
    return set(measurement._tabulate(measured, run.seed, "end")["metric"])
