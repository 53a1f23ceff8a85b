"""What Airflow's Required Actions promise as a ballot box; run against memory and the real Airflow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tradeloop.ports import RequiredAction, RequiredActions
from tradeloop.testing.required_actions import MemoryRequiredActions

if TYPE_CHECKING:
    from tradeloop.stack import Stack

REASON = {"reason": "the second source says the same", "facts": "F-01"}
WITHIN_S = 60.0


@dataclass
class Box:
    actions: RequiredActions
    answer: Callable[[str, str, Any], Awaitable[Any]]
    """By anna.k: run, option, parameters."""
    mark: Callable[[str], Awaitable[Any]]
    clear: Callable[[str], Awaitable[Any]]

    async def put_up(self) -> str:
        """Ask; the run that waits."""
        run_id = f"tradeloop-{uuid4()}-1"
        await self.actions.put_up(run_id, {"subject": "Question", "body": "**Digest** `00`"})
        await self.until(run_id, lambda one: one.is_waiting)
        return run_id

    async def until(self, run_id: str, holds: Callable[[RequiredAction], bool]) -> RequiredAction:
        deadline = asyncio.get_running_loop().time() + WITHIN_S
        while True:
            found = await self.actions.of_run(run_id)
            if found and holds(found):
                return found
            assert asyncio.get_running_loop().time() < deadline, f"{run_id} stands at {found}"
            await asyncio.sleep(0.1)


@pytest.fixture(params=["memory", "airflow"])
async def box(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        yield _memory()
        return
    import people_of_airflow as people
    from tradeloop.airflow.client import AirflowClient
    from tradeloop.airflow.required_actions import AirflowRequiredActions

    stack: Stack = request.getfixturevalue("airflow_stack")
    async with AirflowClient.from_settings(stack.settings) as client:
        yield Box(
            AirflowRequiredActions(client, people.DAG),
            lambda run, option, params: people.answer(stack, "anna.k", run, option, params),
            lambda run: people.mark(stack, "anna.k", run),
            lambda run: people.clear(stack, "anna.k", run),
        )


def _memory() -> Box:
    actions = MemoryRequiredActions()

    async def answer(run_id: str, option: str, params: Any) -> None:
        actions.answer(run_id, option, "anna.k", params)

    async def mark(run_id: str) -> None:
        actions.mark(run_id)

    async def clear(run_id: str) -> None:
        actions.clear(run_id)

    return Box(actions, answer, mark, clear)


async def test_an_answer_is_recorded_with_who_gave_it_and_what_was_typed(box: Box) -> None:
    run_id = await box.put_up()
    await box.actions.put_up(run_id, {"subject": "Another", "body": "text"})  # changes nothing
    before = await box.until(run_id, lambda one: one.is_waiting)

    await box.answer(run_id, "Approve", REASON)

    after = await box.until(run_id, lambda one: one.is_answered)
    assert (before.subject, before.body, before.options) == (
        "Question",
        "**Digest** `00`",
        ("Approve", "Reject", "Answered elsewhere"),
    )
    assert (before.is_answered, before.chosen, before.user_name, before.answered_at) == (False, (), "", None)
    assert (after.chosen, after.user_name, dict(after.params)) == (("Approve",), "anna.k", REASON)
    assert after.answered_at is not None
    assert not await box.actions.close(run_id, "Answered elsewhere")  # the first answer stands
    assert (await box.until(run_id, lambda one: one.is_answered)).chosen == ("Approve",)


async def test_what_we_close_leaves_the_list_as_ours(box: Box) -> None:
    run_id = await box.put_up()
    listed = {one.run_id for one in await box.actions.waiting()}

    assert await box.actions.close(run_id, "Answered elsewhere")
    await box.actions.tell(run_id, "Rejected by ben.o over web.")

    after = await box.until(run_id, lambda one: one.is_answered)
    assert run_id in listed
    assert run_id not in {one.run_id for one in await box.actions.waiting()}
    assert (after.chosen, after.user_name) == (("Answered elsewhere",), "tradeloop")


async def test_marking_and_clearing_are_no_answers(box: Box) -> None:
    run_id = await box.put_up()

    await box.mark(run_id)
    marked = await box.until(run_id, lambda one: not one.is_waiting)
    await box.clear(run_id)
    cleared = await box.until(run_id, lambda one: one.is_waiting)

    assert (marked.is_answered, marked.chosen) == (False, ())
    assert (cleared.is_answered, cleared.body) == (False, "**Digest** `00`")


async def test_a_run_that_is_not_there_is_none(box: Box) -> None:
    assert await box.actions.of_run(f"tradeloop-{uuid4()}-1") is None
    assert not await box.actions.close(f"tradeloop-{uuid4()}-1", "Reject")
