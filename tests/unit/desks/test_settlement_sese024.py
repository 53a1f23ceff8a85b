"""sese.024: the same facts as MT548 give the same answer; what is no such message is refused by line and element."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from settling import answer, event, failing, refusal, told

from tradeloop.bench.desks.settlement_messages import sese024
from tradeloop.desks.settlement.case import advices
from tradeloop.desks.settlement.refusal import MessageInvalid
from tradeloop.desks.settlement.sese024 import NAMESPACE, read_sese024

WHOLE = sese024(failing("CLAC", is_delivery=False, narrative="no position"))


@pytest.mark.parametrize(
    "what",
    [
        failing("CLAC", is_delivery=False),
        failing("LACK"),
        failing("MONY", "PRCY", is_delivery=False, narrative="Zahlung fehlt"),
        told(("MTCH", "NMAT", ("DEPT",))),
        told(("IPRC", "PACK", ())),
        told(("MTCH", "MACH", ()), ("SETT", "PEND", ("LINK",))),
        failing("PREA", amount=None),
    ],
)
def test_both_standards_tell_the_same(what: object) -> None:
    one, other = (answer(event(what, standard)) for standard in ("MT548", "sese.024"))  # type: ignore[arg-type]

    assert one[0].outcome == other[0].outcome
    assert one[1]["fault"] == other[1]["fault"]
    assert one[1]["codes"] == other[1]["codes"]
    for name in ("reference", "isin", "direction", "isd", "narratives"):
        assert one[2][name] == other[2][name], name
    for name in ("quantity", "amount"):
        assert [Decimal(each[2][name] or 0) for each in (one, other)] == [Decimal(one[2][name] or 0)] * 2


@pytest.mark.parametrize(
    ("old", "new", "where", "why"),
    [
        (">CLAC<", ">ZZZZ<", "line 5, field Flng/Rsn/Cd/Cd", "ZZZZ"),
        ("sese.024.001.12", "sese.023.001.11", "line 2, field Document", "sese.024.001.12 is expected"),
        ("<SttlmSts>", "<SttlmSts><Odd>1</Odd>", "line 5, field Document/SctiesSttlmTxStsAdvc/SttlmSts/Odd", "Odd"),
        ("</TxDtls>", "", "line 16", "not XML"),
        ("2026-01-12", "2026-13-12", "line 11", "2026-13-12"),
        (">150000.00<", ">1e9999999x<", "line 10", "1e9999999x"),
        ('Ccy="EUR"', 'Ccy="EUR" Odd="1"', "line 10, field SctiesSttlmTxStsAdvc/TxDtls/SttlmAmt/Amt", "Odd"),
        ("<?xml", '<!DOCTYPE a [<!ENTITY b "c">]><?xml', "line 1", ""),
    ],
)
def test_a_broken_message_is_refused_by_line_and_element(old: str, new: str, where: str, why: str) -> None:
    assert old in WHOLE

    with pytest.raises(MessageInvalid) as caught:
        read_sese024(WHOLE.replace(old, new, 1))

    assert where in caught.value.where
    assert why in caught.value.message


def test_entities_are_refused_before_they_grow() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    text = f'<!DOCTYPE Document [{laughs}]>\n<Document xmlns="{NAMESPACE}">&l8;</Document>'

    with pytest.raises(MessageInvalid, match="line 1, field DOCTYPE: document types and entities are not taken"):
        read_sese024(text)


def test_a_file_named_by_an_entity_is_never_opened() -> None:
    text = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document xmlns="{NAMESPACE}">&x;</Document>'

    with pytest.raises(MessageInvalid, match="DOCTYPE"):
        read_sese024(text)


def test_a_message_without_end_or_depth_is_refused() -> None:
    deep = f'<Document xmlns="{NAMESPACE}">' + "<a>" * 100
    wide = f'<Document xmlns="{NAMESPACE}">' + "<a/>" * 30_000 + "</Document>"

    for text in (deep, wide):
        with pytest.raises(MessageInvalid, match="more than 32 levels or 20,000 elements"):
            read_sese024(text)


def test_a_message_without_a_status_is_refused() -> None:
    bare = f'<Document xmlns="{NAMESPACE}"><SctiesSttlmTxStsAdvc/></Document>'

    with pytest.raises(MessageInvalid, match="no status is told"):
        read_sese024(bare)
    with pytest.raises(MessageInvalid, match="SctiesSttlmTxStsAdvc is expected"):
        read_sese024(f'<Document xmlns="{NAMESPACE}"/>')


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(MessageInvalid, match="is no text"):
        advices("<\ud800")


def test_a_market_s_own_reason_and_status_are_kept_as_such() -> None:
    own = "<Prtry><Id>AB12</Id><Issr>T2S</Issr></Prtry>"
    text = WHOLE.replace("<Cd>CLAC</Cd>", own)

    (advice,) = advices(text)

    assert [(reason.code, reason.scheme) for reason in advice.statuses[0].reasons] == [("AB12", "T2S")]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 30), st.text(max_size=8))
def test_a_message_with_a_hole_is_read_or_refused(at: int, length: int, put: str) -> None:
    problem = refusal(lambda: read_sese024(WHOLE[:at] + put + WHOLE[at + length :]))

    assert problem is None or problem.message


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (
            "<PrcgSts><Prtry><PrtrySts><Id>ABCD</Id><Issr>T2S</Issr></PrtrySts></Prtry></PrcgSts>",
            ("IPRC", "ABCD", "T2S"),
        ),
        ("<PrcgSts><CxlReqd/></PrcgSts>", ("IPRC", "CPRC", "")),
        ("<IfrrdMtchgSts><Mtchd/></IfrrdMtchgSts>", ("INMH", "MACH", "")),
    ],
)
def test_statuses_have_the_codes_of_field_25d(more: str, status: tuple[str, str, str]) -> None:
    (advice,) = advices(WHOLE.replace("<SttlmSts>", f"{more}<SttlmSts>"))

    first = advice.statuses[0]
    assert (first.kind, first.code, first.scheme) == status


def test_a_reason_without_a_code_is_unknown() -> None:
    (advice,) = advices(WHOLE.replace("<Cd>CLAC</Cd>", ""))

    assert [(reason.code, reason.scheme) for reason in advice.statuses[0].reasons] == [("?", "?")]


def test_dates_with_a_time_codes_for_dates_and_face_amounts_are_read() -> None:
    text = WHOLE.replace("<Unit>1000</Unit>", "<FaceAmt>1000</FaceAmt>")
    text = text.replace("<SttlmDt><Dt><Dt>2026-01-12</Dt>", "<SttlmDt><Dt><DtTm>2026-01-12T09:00:00Z</DtTm>")
    text = text.replace("<Dt><Dt>2026-01-08</Dt></Dt>", "<DtCd><Cd>VARI</Cd></DtCd>")
    text = text.replace("<SctiesMvmntTp>", "<MtchdStsTmStmp>2026-01-12T20:00:00Z</MtchdStsTmStmp><SctiesMvmntTp>")

    (advice,) = advices(text)

    terms = advice.instruction
    assert (terms.quantity_type, f"{terms.isd}", terms.trade_date) == ("FAMT", "2026-01-12", None)
    assert f"{terms.matched_on}" == "2026-01-12"


def test_a_message_without_terms_tells_its_status_alone() -> None:
    begin, rest = WHOLE.split("<TxDtls>")

    (advice,) = advices(begin + rest.split("</TxDtls>")[1])

    assert advice.instruction.isd is None
    assert advice.statuses[0].code == "PENF"


def test_the_worker_imports_what_it_needs_before_the_first_case() -> None:
    from settling import DESK

    assert DESK.warm is not None
    DESK.warm()
