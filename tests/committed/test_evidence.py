"""The committed records: today's code stands behind every one of them."""

import pytest

from slotbench import config
from slotbench.results.plan import Plan
from tests.support.project import ROOT

RUNS = ["reference", "study", "baselines", "ten-seeds", "longer", "bf16-study"]


@pytest.mark.parametrize("run", RUNS)
def test_no_committed_record_would_be_trained_again(run):
    plan = Plan(config.load(ROOT / "config" / f"{run}.yaml"), ROOT / "results")
    again = {
        str(cell): reason for cell in plan.run.cells() if plan.record(cell).exists() and (reason := plan.reason(cell))
    }
    assert again == {}


def test_the_reference_run_is_whole():
    plan = Plan(config.load(ROOT / "config" / "reference.yaml"), ROOT / "results")
    assert plan.due() == []
