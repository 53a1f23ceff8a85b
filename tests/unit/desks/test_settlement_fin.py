"""ISO 15022 messages: the real ones are read or refused by line and tag, rubbish never ends in a traceback."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from settling import failing, refusal, told

from tradeloop.bench.desks.settlement_messages import mt548
from tradeloop.desks.settlement.case import advices
from tradeloop.desks.settlement.fin import MAX_DEPTH, read_fin
from tradeloop.desks.settlement.fin_advice import advices_of
from tradeloop.desks.settlement.penalty_statement import PenaltyStatement, penalties_of
from tradeloop.desks.settlement.refusal import MessageInvalid

WHOLE = mt548(failing("CLAC", narrative="NO POSITION"))
BROKEN = {
    "MT541_MT541ParserTest_1.fin": ("line 14, field 16S", "16S closes TRADFOO; open is TRADDET since line 7"),
    "MT569_UnparsedTextParsingTest_1.fin": ("line 4, field 16S", "16S closes SECDET, which no 16R opened"),
}


def files(shared_data: Path) -> list[Path]:
    found = [path for name in ("swift-mt5xx", "csdr-penalties-mt537") for path in (shared_data / name).glob("*.fin")]
    assert len(found) == 17
    return sorted(found)


def stated_of(text: str) -> PenaltyStatement:
    return penalties_of(read_fin(text))


def test_every_real_message_is_read_or_refused_by_line_and_tag(shared_data: Path) -> None:
    refused = {}
    for path in files(shared_data):
        try:
            message = read_fin(path.read_bytes().decode())
        except MessageInvalid as problem:
            refused[path.name] = (problem.where, problem.message.split(": ", 1)[1])
        else:
            assert message.type == path.name[2:5]

    assert refused == BROKEN


def test_every_real_message_tells_its_statuses_or_why_it_has_none(shared_data: Path) -> None:
    texts = {path.name: path.read_bytes().decode() for path in files(shared_data)}
    refused = {name: refusal(partial(advices, text)) for name, text in texts.items()}

    told_by = {name: len(advices(texts[name])) for name, problem in refused.items() if problem is None}
    assert {problem.field for problem in refused.values() if problem} == {"2", "16R", "16S"}
    assert all(problem.line for problem in refused.values() if problem)
    assert told_by == {"MT537_Issue78_1.fin": 4}


def test_every_real_message_states_its_penalties_or_why_it_has_none(shared_data: Path) -> None:
    read = {path.name: partial(stated_of, path.read_bytes().decode()) for path in files(shared_data)}
    refused = {name: refusal(each) for name, each in read.items()}

    stated = {name: len(read[name]().penalties) for name, problem in refused.items() if problem is None}
    assert all(problem.line for problem in refused.values() if problem)
    assert stated == {"MT537_Issue78_1.fin": 4, "MT537_large.fin": 62}


def test_the_real_statement_names_status_security_and_dates_of_each_transaction(shared_data: Path) -> None:
    found = advices((shared_data / "swift-mt5xx" / "MT537_Issue78_1.fin").read_text())

    assert [advice.reference for advice in found] == [
        "2111262161218562", "2111242159118671", "2111242159121848", "2111262161219993",
    ]  # fmt: skip
    assert {(status.kind, status.code) for advice in found for status in advice.statuses} == {("SETT", "PENF")}
    assert {reason.code for advice in found for status in advice.statuses for reason in status.reasons} == {"CLAC"}
    assert [f"{advice.instruction.isd}" for advice in found] == ["2021-11-29", "2021-11-25", "2021-11-25", "2021-11-29"]


@pytest.mark.parametrize(
    ("old", "new", "where", "why"),
    [
        (":16S:GENL", ":16S:GEML", "line 15, field 16S", "16S closes GEML; open is GENL since line 2"),
        (":16S:SETTRAN\n", "", "line 16, field 16R", "SETTRAN is never closed"),
        ("-}", "", "field 4", "never ends"),
        ("-}", "-}\n{1:F01XXXX}{2:O548}{4:\n:20C::SEME//2\n-}", "field 4", "one message is expected"),
        (":25D::SETT//PENF", ":25D:SETT", "line 9, field 25D", "has no qualifier"),
        (":25D::SETT//PENF\n", "", "line 8, field 25D", "STAT has no 25D"),
        (":24B::PENF//CLAC\n", "", "line 10, field 24B", "REAS has no 24B"),
        (":24B::PENF//CLAC", ":24B::PENF//CLAC\n:24B::PENF//FUTU", "line 12, field 24B", "REAS has it twice"),
        ("NO POSITION", "NO\n:25D::SETT//PEND", "line 13, field 25D", "REAS takes no such field"),
        ("NO POSITION", "NO\n:oops", "line 13", "begins with a colon and is no field"),
        (":36B::SETT//UNIT/1000,", ":36B::SETT//UNIT/1000", "line 18, field 36B", "is no quantity"),
        (":36B::SETT//UNIT/1000,", ":36B::SETT//PAIR/1000,", "line 18, field 36B", "is no quantity"),
        (":19A::SETT//EUR150000,00", ":19A::SETT//EURO150", "line 19, field 19A", "is no amount"),
        (":98A::SETT//20260112", ":98A::SETT//20260132", "line 23, field 98A", "is no day"),
        (":98A::SETT//20260112", ":98A::SETT//20260112\n:98A::SETT//20260113", "line 24, field 98A", "given twice"),
        (":22H::REDE//DELI", ":22H::REDE//BOTH", "line 21, field 22H", "DELI or RECE is expected"),
        ("{2:O548", "{2:O541", "line 1, field 2", "MT541 tells no status"),
        ("{2:O548", "{2:Z548", "line 1, field 2", "message type is not told"),
        ("{4:\n", "{4:", "line 1, field 4", "there is no text block"),
    ],
)
def test_a_broken_message_is_refused_by_line_and_tag(old: str, new: str, where: str, why: str) -> None:
    assert WHOLE.count(old) == 1

    with pytest.raises(MessageInvalid) as caught:
        advices(WHOLE.replace(old, new))

    assert where in caught.value.where
    assert why in caught.value.message
    assert caught.value.actor == "producer"


def test_the_text_block_alone_is_read_as_the_whole_message_is() -> None:
    alone = WHOLE.split("{4:\n")[1].removesuffix("\n-}")

    (bare,), (whole,) = advices(alone), advices(WHOLE)

    assert bare.instruction == whole.instruction
    assert bare.narratives == whole.narratives == ("NO POSITION",)


def test_line_ends_of_windows_and_an_acknowledgement_before_it_change_nothing() -> None:
    acknowledged = "{1:F21OWNRDEFFAXXX0000000000}{4:{177:2601131200}{451:0}}" + WHOLE.replace("\n", "\r\n")

    assert advices(acknowledged) == advices(WHOLE)


def test_a_statement_by_status_gives_each_of_its_transactions_that_status() -> None:
    body = """{1:F01X}{2:O5370000}{4:
:16R:GENL
:28E:1/ONLY
:20C::SEME//S1
:16S:GENL
:16R:STAT
:25D::SETT//PENF
:16R:REAS
:24B::PENF//LACK
:16S:REAS
:16R:TRAN
:20C::ACOW//ONE
:98A::SETT//20260112
:16S:TRAN
:16R:TRAN
:20C::ACOW//TWO
:98A::SETT//20260112
:16S:TRAN
:16S:STAT
-}"""

    found = advices(body)

    assert [advice.reference for advice in found] == ["ONE", "TWO"]
    assert {advice.statuses[0].reasons[0].code for advice in found} == {"LACK"}


def test_sequences_that_nest_without_end_are_refused() -> None:
    text = "\n".join(f":16R:A{depth}" for depth in range(MAX_DEPTH + 1))

    with pytest.raises(MessageInvalid, match=f"line {MAX_DEPTH}, field 16R: sequences nest deeper"):
        read_fin(text)


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(MessageInvalid, match="line 2: the line has 5,000 characters"):
        read_fin(":16R:GENL\n" + "x" * 5000)


ALPHABET = st.sampled_from(
    ["{1:", "{2:O548", "{4:\n", "-}", ":16R:", ":16S:", "STAT", "REAS", "GENL", "\n", ":25D::"]
) | (st.text(max_size=12))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ALPHABET, max_size=40).map("".join))
def test_rubbish_is_read_or_refused_and_nothing_else(text: str) -> None:
    for read in (read_fin, advices, lambda given: advices_of(read_fin(given)), stated_of):
        problem = refusal(partial(read, text))
        assert problem is None or problem.message


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 40), st.text(max_size=8))
def test_a_message_with_a_hole_is_read_or_refused_by_line(at: int, length: int, put: str) -> None:
    problem = refusal(lambda: advices(WHOLE[:at] + put + WHOLE[at + length :]))

    assert problem is None or problem.line > 0


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200))
def test_no_narrative_changes_what_a_message_tells(narrative: str) -> None:
    (advice,) = advices(mt548(failing("CLAC", narrative=narrative)))
    (plain,) = advices(mt548(failing("CLAC")))

    assert advice.statuses[0].code == "PENF"
    assert [reason.code for reason in advice.statuses[0].reasons] == ["CLAC"]
    assert advice.instruction == plain.instruction


def test_a_status_without_reasons_has_none() -> None:
    (advice,) = advices(mt548(told(("IPRC", "PACK", ()))))

    assert [(status.kind, status.code, status.reasons) for status in advice.statuses] == [("IPRC", "PACK", ())]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello", "line 1: no message of ISO 15022 begins here"),
        (":oops", "line 1: ':oops' begins with a colon and is no field"),
        ("{1:F01X}{2:O5480000}{4:\nNOTHING\n-}", "line 2: 'NOTHING' is no field"),
        ("{1:F01X}{2:O5480000}{4:\n\n-}", "field 4: the text block is empty"),
        (":16R:G N", "line 1, field 16R: 'G N' is no name of a sequence"),
        (":16R:GENL\n:20C::SEME//1\n:16S:GENL", "line 1, field 16R: no status is told"),
        (":16R:SETTRAN\n:16S:SETTRAN\n:16R:SETTRAN\n:16S:SETTRAN", "line 3, field 16R: SETTRAN is given twice"),
        ("{1:F01X}{2:O5370000}{4:\n:16R:TRAN\n:16S:TRAN\n-}", "line 2, field 16R: no status is told"),
        (":16R:STAT\n:25D::SETT//PENF\n:16R:LINK\n:16S:LINK\n:16S:STAT", "line 3, field 16R: STAT takes no sequence"),
    ],
)
def test_what_is_half_a_message_says_which_half_is_missing(text: str, told: str) -> None:
    problem = refusal(lambda: advices(text))

    assert problem is not None
    assert told in problem.message


def test_a_statement_by_transaction_gives_each_its_own_status() -> None:
    one = ":16R:TRAN\n:16R:LINK\n:20C::RELA//A{n}\n:16S:LINK\n:16R:STAT\n:25D::SETT//PEND\n:16S:STAT\n:16S:TRAN\n"
    body = ":16R:GENL\n:28E:1/ONLY\n:16S:GENL\n" + "".join(one.format(n=n) for n in range(3))

    assert [advice.reference for advice in advices(body)] == ["A0", "A1", "A2"]


def test_an_amortised_instrument_settles_by_its_face_amount() -> None:
    text = WHOLE.replace(":36B::SETT//UNIT/1000,", ":36B::SETT//AMOR/799,5\n:36B::SETT//FAMT/816,")

    (advice,) = advices(text)

    assert (advice.instruction.quantity_type, advice.instruction.quantity) == ("FAMT", 816)
    doubled = text.replace("AMOR/799,5", "FAMT/799,5")
    with pytest.raises(MessageInvalid, match="line 19, field 36B: SETT is given twice as FAMT"):
        advices(doubled)


def test_negative_figures_and_days_that_are_codes_are_read_as_such() -> None:
    text = WHOLE.replace("UNIT/1000,", "UNIT/N1000,").replace("EUR150000", "NEUR150000")
    text = text.replace(":98A::TRAD//20260108", ":98B::TRAD//VARI")

    (advice,) = advices(text)

    assert (advice.instruction.quantity, advice.instruction.amount) == (-1000, -150000)
    assert advice.instruction.trade_date is None
