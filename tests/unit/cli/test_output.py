"""Tables, times, states, JSON and progress, as people and programs get them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tradeloop.cli import waiting
from tradeloop.cli.endings import FOUND, MEANINGS, epilog
from tradeloop.cli.output import OUTPUT, Output, agreed, moment, note, print_json, print_rows, state_words, utc
from tradeloop.cli.problems import kebab, masked
from tradeloop.errors import UsageInvalid
from tradeloop.store.history import ambiguous

COLUMNS = {"id": "ID", "state": "STATE", "subject": "SUBJECT", "desk": "DESK"}
ROWS = [
    {"id": "0b1e77aa", "state": "done", "subject": "SPX/2009-07", "desk": "marketdata", "more": 1},
    {"id": "0b1f02c9", "state": "failed", "subject": "日経/2009", "desk": "", "more": 2},
]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    vars(OUTPUT).update(vars(Output()))
    yield
    vars(OUTPUT).update(vars(Output()))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stdout and stderr as one terminal of 34 columns."""
    made = Terminal()
    monkeypatch.setenv("COLUMNS", "34")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr(sys, "stderr", made)
    return made


def test_a_pipe_gets_every_column_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, ROWS, empty="")
    assert capsys.readouterr().out.splitlines() == [
        "ID        STATE     SUBJECT      DESK",
        "0b1e77aa  ✓ done    SPX/2009-07  marketdata",
        "0b1f02c9  ✗ failed  日経/2009    —",
    ]


def test_a_narrow_terminal_loses_columns_from_the_right_and_never_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    print_rows(COLUMNS, ROWS, empty="")
    assert terminal.getvalue().splitlines() == [
        "ID        STATE     SUBJECT",
        "0b1e77aa  ✓ done    SPX/2009-07",
        "0b1f02c9  ✗ failed  日経/2009",
        "too narrow for DESK: a wider terminal, --fields or a pipe shows them",
    ]


def test_chosen_fields_are_shown_in_the_chosen_order(capsys: pytest.CaptureFixture[str]) -> None:
    OUTPUT.fields = ["more", "id"]
    print_rows(COLUMNS, ROWS, empty="")
    assert capsys.readouterr().out.splitlines()[:2] == ["MORE  ID", "1     0b1e77aa"]
    print_json(ROWS)
    assert json.loads(capsys.readouterr().out)[0] == {"more": 1, "id": "0b1e77aa"}
    print_json([])
    assert json.loads(capsys.readouterr().out) == []
    print_json(ROWS[1])
    print_json("words")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"more": 2, "id": "0b1f02c9"},
        "words",
    ]


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    OUTPUT.fields = ["nope"]
    with pytest.raises(UsageInvalid, match="there is no 'nope'; known: id, state"):
        print_json(ROWS[0])
    with pytest.raises(UsageInvalid, match="there is no 'nope'"):
        print_json(ROWS)
    with pytest.raises(UsageInvalid, match="there is no 'nope'"):
        print_rows(COLUMNS, ROWS, empty="")


def test_colour_repeats_a_word_and_only_where_it_is_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    OUTPUT.color = "always"
    print_rows(COLUMNS, ROWS, empty="")
    colored = capsys.readouterr().out
    assert "\x1b[32m✓ done" in colored
    OUTPUT.color = "never"
    print_rows(COLUMNS, ROWS, empty="")
    assert "\x1b" not in capsys.readouterr().out
    OUTPUT.color = "auto"
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_rows(COLUMNS, ROWS, empty="")
    assert capsys.readouterr().out == colored


def test_nothing_to_show_is_said_on_stderr_and_not_with_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, [], empty="No run matches.")
    assert capsys.readouterr() == ("", "No run matches.\n")
    OUTPUT.quiet = True
    note("anything")
    assert capsys.readouterr() == ("", "")


def test_times_are_local_utc_or_relative_and_in_json_always_utc() -> None:
    at = datetime(2026, 11, 23, 16, 59, 21, 481223, UTC)
    assert utc(at) == "2026-11-23T16:59:21.481223Z"
    assert (utc(None), moment(None)) == (None, "—")
    OUTPUT.time = "utc"
    assert moment(at) == "2026-11-23T16:59:21Z"
    OUTPUT.time = "relative"
    assert moment(datetime.now(UTC) - timedelta(hours=3, minutes=1)) == "3h ago"
    assert moment(datetime.now(UTC) + timedelta(seconds=30)) == "0s ago"


def test_a_state_nobody_has_an_icon_for_is_its_word() -> None:
    assert (state_words("done"), state_words("odd")) == ("✓ done", "odd")


def test_a_question_needs_a_terminal_or_yes() -> None:
    with pytest.raises(UsageInvalid, match="no terminal") as caught:
        agreed("Really?")
    assert (caught.value.hint, caught.value.exit_code) == ("add --yes", 2)
    OUTPUT.is_agreed = True
    agreed("Really?")


def test_a_question_is_asked_at_a_terminal_and_no_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    at_a_terminal(monkeypatch)
    answers = Terminal("n\ny\n")
    monkeypatch.setattr(sys, "stdin", answers)
    with pytest.raises(UsageInvalid, match="the answer was no"):
        agreed("Really?")
    agreed("Really?")


def test_ids_with_one_beginning_are_shown_as_far_as_they_differ() -> None:
    ids = [UUID(f"0b1e77aa-0000-7000-8000-{number:012x}") for number in range(12)]
    assert ambiguous("run", "0b", ids[:1]).message == "1 runs begin with '0b': 0b1e77aa"
    few = ambiguous("run", "0b", ids[:2])
    assert few.message == f"2 runs begin with '0b': {ids[0]} {ids[1]}"
    assert ambiguous("run", "0b", ids).message.startswith("more than 10 runs begin with '0b': ")


def test_an_epilog_names_the_examples_and_every_code_in_order() -> None:
    text = epilog("tradeloop a", "tradeloop b", codes={FOUND: "something was found"})
    assert text.splitlines() == [
        "\b", "Examples:", "  tradeloop a", "  tradeloop b", "",
        "\b", "Exit codes:", "    0  done", "    1  failed", f"    2  {MEANINGS[2]}",
        "    6  something was found", "  130  Ctrl-C",
    ]  # fmt: skip
    assert epilog("tradeloop a").splitlines()[1] == "Example:"


def test_names_and_passwords_are_written_as_they_should() -> None:
    assert kebab("DatabaseUnreachable") == "database-unreachable"
    assert masked("postgresql://u:p@h/x http://h:80/") == "postgresql://u:***@h/x http://h:80/"


def test_a_wait_says_what_then_since_when_and_how_long_at_most() -> None:
    wait = waiting.Waiting("Kafka", bound_s=60)
    assert (wait.words(2), wait.words(7.4)) == ("Kafka", "Kafka, 7 s of at most 60 s")
    assert waiting.Waiting("Kafka").words(7.4) == "Kafka, 7 s"


def test_a_known_amount_has_bar_count_rate_and_rest() -> None:
    assert waiting.progress("publishing", 250, 1000, 5.0, "events") == (
        "publishing  ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  250 of 1,000 events, 50 a second, 15 s left"
    )
    assert waiting.progress("publishing", 0, 0, 0.0).endswith("0 of 0, 0 a second")
    counted = waiting.Waiting("publishing", total=10)
    counted.count(10)
    assert "10 of 10" in counted.words(1.0)


def test_what_is_waited_for_appears_on_a_terminal_and_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    monkeypatch.setattr(waiting, "SILENT_S", 0.0)
    with waiting.Waiting("Kafka"):
        while "Kafka" not in terminal.getvalue():
            pass
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_without_a_terminal_a_line_tells_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LINE_EVERY_S", 0.0)
    said = ""
    with waiting.Waiting("Kafka"):
        while not said:
            said = capsys.readouterr().err
    assert said.startswith("… Kafka\n")


def test_a_call_gives_its_answer_or_its_error() -> None:
    def broken() -> None:
        raise KeyError("x")

    assert waiting.call(lambda: 3, "nothing") == 3
    with pytest.raises(KeyError):
        waiting.call(broken, "nothing")


def test_a_coroutine_is_run_to_its_end_and_quietly_when_asked() -> None:
    async def answer() -> int:
        return 3

    OUTPUT.quiet = True
    assert waiting.run(answer()) == 3
