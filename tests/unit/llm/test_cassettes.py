"""Record and replay: the same questions get the same answers, and no others."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from model_answers import QUESTION, ScriptedChat, proposal

from tradeloop.errors import CassetteMiss, ModelFailed, ModelUnavailable, SettingInvalid
from tradeloop.llm.cassette import Cassette, Recording, Replay
from tradeloop.llm.chat import Manner
from tradeloop.llm.gateway import Bounds, Gateway
from tradeloop.ports import Answer, Question
from tradeloop.testing.budgets import MemoryBudgets


async def ask(chats: list[ScriptedChat], cassette: Cassette, question: Question = QUESTION, **manner: int) -> Answer:
    gateway = Gateway(chats, MemoryBudgets(), Manner(**manner), Bounds(retries=0), cassette)  # type: ignore[arg-type]
    return await gateway.ask(question, run_id=UUID(int=1), desk="settlement")


async def test_what_was_recorded_is_played_with_failures_and_repairs_and_no_model(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    chain = [ScriptedChat([ModelFailed("it is down")], "one"), ScriptedChat(["rubbish", proposal()], "two")]
    recorded = await ask(chain, Recording(file))
    silent = [ScriptedChat([], "one"), ScriptedChat([], "two")]

    assert await ask(silent, Replay(file)) == recorded
    assert [one.prompts for one in silent] == [[], []]
    assert len(file.read_text().splitlines()) == 3
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_recording_holds_no_word_of_a_question(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    await ask([ScriptedChat([proposal()])], Recording(file))
    assert "please wait" not in file.read_text()
    assert QUESTION.instructions not in file.read_text()


async def test_a_question_that_is_not_recorded_is_a_miss_and_not_policys(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    await ask([ScriptedChat([proposal()])], Recording(file))

    other = QUESTION.model_copy(update={"quoted": {}})
    with pytest.raises(CassetteMiss, match="holds no answer of ollama:scripted") as raised:
        await ask([ScriptedChat([])], Replay(file), other)
    assert not isinstance(raised.value, ModelUnavailable)
    with pytest.raises(CassetteMiss):
        await ask([ScriptedChat([], "another")], Replay(file))
    with pytest.raises(CassetteMiss):
        await ask([ScriptedChat([])], Replay(file), max_tokens=99)


async def test_the_last_of_several_answers_is_played(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    for outcome in ("WAIT", "ESCALATE"):
        await ask([ScriptedChat([proposal(outcome=outcome)])], Recording(file))
    assert (await ask([ScriptedChat([])], Replay(file))).outcome == "ESCALATE"


async def test_an_answer_that_has_no_utf8_is_recorded_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with pytest.raises(ModelUnavailable):
        await ask([ScriptedChat(["\ud800\u2028\x85"])], Recording(file))
    with pytest.raises(ModelUnavailable):
        await ask([ScriptedChat([])], Replay(file))


@pytest.mark.parametrize("line", ["", "{}", "x", '{"key": 1}', "\xff"])
def test_a_damaged_recording_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "answers.jsonl"
    good = '{"key": "a", "kind": "said", "model": "x", "text": "y"}'
    file.write_text(f"{good}\n{line}\n{good}\n", encoding="latin-1")
    with pytest.raises(SettingInvalid, match="line 2 is none of a recording"):
        Replay(file)


def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="MODEL_REPLAY .* No such file"):  # noqa: RUF043
        Replay(tmp_path / "none")
    with pytest.raises(SettingInvalid, match="MODEL_RECORD .* directory"):  # noqa: RUF043
        Recording(tmp_path)
