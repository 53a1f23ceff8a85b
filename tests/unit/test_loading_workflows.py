"""Workflows from outside the package: found by module or file, refused with the place that named them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradeloop.errors import WorkflowInvalid
from tradeloop.workflow import load_workflows

OWN = """
from tradeloop import Workflow

def decide(state):
    return {}

mine = Workflow.chain("mine.loaded", decide, desk="mine")
another = Workflow.chain("mine.loaded", decide, desk="another")
several = [mine, Workflow.chain("mine.closed", decide, desk="mine")]
number = 7
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own_workflows.py"
    path.write_text(OWN)
    return path


def test_a_file_brings_one_workflow_or_several(own: Path) -> None:
    assert load_workflows([f"{own}:mine"])["mine.loaded"].desk == "mine"
    assert {"mine.loaded", "mine.closed"} < set(load_workflows([f"{own}:several"]))


def test_the_same_workflow_named_twice_is_one(own: Path) -> None:
    assert load_workflows([f"{own}:mine", f"{own}:mine"])["mine.loaded"].desk == "mine"


def test_two_workflows_for_one_type_are_refused_with_both_names(own: Path) -> None:
    with pytest.raises(WorkflowInvalid, match=r"two workflows answer mine\.loaded: .*:mine and .*:another"):
        load_workflows([f"{own}:mine", f"{own}:another"])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{own}:number", "is int, a Workflow is expected"),
        ("{own}:absent", "cannot be loaded"),
        ("{folder}/absent.py:mine", "cannot be loaded"),
        ("no_such_module:mine", "cannot be loaded: No module named 'no_such_module'"),
        ("nothing", "cannot be loaded"),
    ],
)
def test_what_is_no_workflow_is_refused_with_the_setting_that_named_it(own: Path, value: str, told: str) -> None:
    with pytest.raises(WorkflowInvalid, match=told) as refused:
        load_workflows([value.format(own=own, folder=own.parent)])

    assert refused.value.where == "TRADELOOP_WORKFLOWS"
