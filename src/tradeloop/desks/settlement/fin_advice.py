"""MT548 and the transactions of an MT537 as advices.

In both, statuses stand in sequences STAT with reasons in REAS. Text that pretends to be a field cannot slip in: REAS
takes one 24B and one 70D and nothing else, STAT one 25D, and a second one ends in a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal  # Any: fields of a model that is checked right after

from tradeloop.desks.settlement.advice import MAX_REASONS, Advice, Instruction, Reason, Status, quotable
from tradeloop.desks.settlement.fin import FinMessage, Sequence
from tradeloop.desks.settlement.fin_values import amount, day, identifier, one, qualified, quantity
from tradeloop.desks.settlement.refusal import MessageInvalid

_LAYOUT: Final = {"STAT": {"25D": 1, "13A": 1, "99A": 1}, "REAS": {"24B": 1, "70D": 1}}
"""How often a field may stand in a sequence at most; what is not named may not stand there at all."""
_NESTED: Final = (("STAT", "REAS"), ("STAT", "TRAN"))
_STATUS_MESSAGES: Final = ("548", "537")


def advices_of(message: FinMessage) -> tuple[Advice, ...]:
    """The advices of a status message: one of an MT548, one for each transaction of an MT537.

    Raises:
        MessageInvalid: no status message, or one whose fields contradict the standard.
    """
    kind = message.type or _guessed(message)
    if kind not in _STATUS_MESSAGES:
        told = f"MT{kind} tells no status of an instruction; MT548, MT537 or sese.024 is expected"
        raise MessageInvalid(told, line=1, field="2")
    if kind == "548":
        return (_advice(message.text, "MT548", _mt548_terms(message.text)),)
    found = [_of_statement(each) for each in _transactions(message.text)]
    if not found:
        told = "the statement holds no transaction (16R:TRAN) with a status"
        raise MessageInvalid(told, line=message.text.line, field="16R")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Stated:
    """A transaction of a statement, with what stands around it."""

    terms: Sequence
    statuses: list[Sequence]
    around: Sequence
    """Where its references are, when it has none itself."""
    instrument: Sequence
    """Where its security is, when it names none itself."""


def _transactions(text: Sequence) -> Iterator[_Stated]:
    # By transaction (TRAN with its STAT), by status (STAT with its TRAN), or beside a penalty.
    for part in text.parts:
        if not isinstance(part, Sequence):
            continue
        if part.name == "TRAN":
            yield _Stated(part, part.sequences("STAT"), part, part)
        elif part.name == "STAT":
            for inner in part.sequences("TRAN"):
                yield _Stated(inner, [part], inner, inner)
        elif part.name == "PENA":
            yield from _beside_penalties(part)


def _beside_penalties(statement: Sequence) -> Iterator[_Stated]:
    for detail in statement.walk("PENDET"):
        calculations = detail.sequences("CALDET")
        instrument = next(iter(calculations[0].sequences("FIA")), detail) if calculations else detail
        for related in detail.sequences("RELTRAN"):
            for inner in related.sequences("TRAN"):
                if inner.sequences("STAT"):
                    yield _Stated(inner, inner.sequences("STAT"), related, instrument)


def _guessed(message: FinMessage) -> str:
    # A text block alone does not name its type: a statement has 28E (its page), an advice does not.
    general = next(iter(message.text.sequences("GENL")), None)
    pages = general is not None and any(each.tag == "28E" for each in general.fields)
    return "537" if pages else "548"


def _mt548_terms(text: Sequence) -> Sequence:
    found = text.sequences("SETTRAN")
    if len(found) > 1:
        raise MessageInvalid("SETTRAN is given twice", line=found[1].line, field="16R")
    return found[0] if found else Sequence("SETTRAN", text.line)


def _of_statement(stated: _Stated) -> Advice:
    narratives: list[str] = []
    statuses = _read_statuses(stated.statuses, stated.terms.line, narratives)
    own = _instruction(stated.terms)
    if own.isin is None:
        security = next((each for each in stated.instrument.fields if each.tag == "35B"), None)
        own = own.model_copy(update={"isin": identifier(security) if security is not None else None})
    reference = _reference(stated.terms) or _reference(stated.around)
    return Advice(
        standard="MT537", reference=reference, statuses=statuses, instruction=own, narratives=tuple(narratives)
    )


def _advice(told: Sequence, standard: Literal["MT548"], terms: Sequence) -> Advice:
    general = next(iter(told.sequences("GENL")), told)
    narratives: list[str] = []
    found = [*general.sequences("STAT"), *(told.sequences("STAT") if general is not told else [])]
    return Advice(
        standard=standard,
        reference=_reference(general),
        statuses=_read_statuses(found, general.line, narratives),
        instruction=_instruction(terms),
        narratives=tuple(narratives),
    )


def _read_statuses(sequences: list[Sequence], line: int, narratives: list[str]) -> tuple[Status, ...]:
    found = tuple(_status(each, narratives) for each in sequences)
    if not found:
        raise MessageInvalid("no status is told; a sequence STAT is expected", line=line, field="16R")
    if sum(len(each.reasons) for each in found) > MAX_REASONS:
        raise MessageInvalid(f"more than {MAX_REASONS} reasons", line=line, field="24B")
    return found


def _status(sequence: Sequence, narratives: list[str]) -> Status:
    _hold_to_layout(sequence)
    field = next((each for each in sequence.fields if each.tag == "25D"), None)
    if field is None:
        raise MessageInvalid("STAT has no 25D", line=sequence.line, field="25D")
    value = qualified(field)
    reasons = []
    for inner in sequence.sequences("REAS"):
        _hold_to_layout(inner)
        code = next((qualified(each) for each in inner.fields if each.tag == "24B"), None)
        if code is None:
            raise MessageInvalid("REAS has no 24B", line=inner.line, field="24B")
        # The qualifier repeats the status, except that the standard lets PENF stand for both.
        reasons.append(Reason(code=code.data[:35], scheme=code.scheme, line=code.line))
        narratives += [quotable(qualified(each).data) for each in inner.fields if each.tag == "70D"]
    return Status(
        kind=value.qualifier, code=value.data[:35], scheme=value.scheme, reasons=tuple(reasons), line=value.line
    )


def _hold_to_layout(sequence: Sequence) -> None:
    known, seen = _LAYOUT[sequence.name], dict.fromkeys(_LAYOUT[sequence.name], 0)
    for field in sequence.fields:
        if field.tag not in known:
            raise MessageInvalid(f"{sequence.name} takes no such field", line=field.line, field=field.tag)
        seen[field.tag] += 1
        if seen[field.tag] > known[field.tag]:
            raise MessageInvalid(f"{sequence.name} has it twice", line=field.line, field=field.tag)
    for part in sequence.parts:
        if isinstance(part, Sequence) and (sequence.name, part.name) not in _NESTED:
            raise MessageInvalid(f"{sequence.name} takes no sequence {part.name}", line=part.line, field="16R")


def _reference(general: Sequence) -> str:
    # RELA: the instruction that the status is about; before SEME, the message's own.
    places = [*general.sequences("LINK"), general]
    for qualifier in ("RELA", "ACOW", "SEME", "ASRV", "MITI"):
        for place in places:
            found = one(place, "20C", qualifier)
            if found is not None and found.data not in ("", "NONREF"):
                return found.data[:35]
    return ""


def _instruction(terms: Sequence) -> Instruction:
    given: dict[str, Any] = {}
    security = next((each for each in terms.fields if each.tag == "35B"), None)
    if security is not None:
        given["isin"] = identifier(security)
    for qualifier in ("SETT", "PSTA"):
        if held := _quantity(terms, qualifier):
            given["quantity"], given["quantity_type"] = held
        if found := one(terms, "19A", qualifier):
            given["amount"], given["currency"] = amount(found)
    for name, qualifier in (("isd", "SETT"), ("trade_date", "TRAD"), ("matched_on", "MTCH")):
        if found := one(terms, "98A 98B 98C 98E", qualifier):
            given[name] = day(found)
    if found := one(terms, "22H", "REDE"):
        given["direction"] = _of(found, ("DELI", "RECE"))
    if found := one(terms, "22H", "PAYM"):
        given["against_payment"] = _of(found, ("APMT", "FREE")) == "APMT"
    if found := one(terms, "97A 97B", "SAFE"):
        given["account"] = found.data[:35]
    return Instruction(**given, **_parties(terms, "REAG" if given.get("direction") == "DELI" else "DEAG"))


def _quantity(terms: Sequence, qualifier: str) -> tuple[Decimal, str] | None:
    # An amortised instrument has two: its face amount, which is what settles, and the amortised value beside it.
    found: dict[str, tuple[Decimal, str]] = {}
    for part in terms.fields:
        if part.tag == "36B" and (value := qualified(part)).qualifier == qualifier:
            figure = quantity(value)
            if figure[1] in found:
                raise MessageInvalid(f"{qualifier} is given twice as {figure[1]}", line=part.line, field=part.tag)
            found[figure[1]] = figure
    return next((found[kind] for kind in ("UNIT", "FAMT", "AMOR") if kind in found), None)


def _of(value: Any, known: tuple[str, ...]) -> str:
    if value.data not in known:
        told = f"{value.data!r:.20} is unknown; {' or '.join(known)} is expected"
        raise MessageInvalid(told, line=value.line, field=value.tag)
    return str(value.data)


def _parties(terms: Sequence, other_side: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for party in terms.walk("SETPRTY"):
        for field in party.fields:
            if field.tag != "95P":
                continue
            value = qualified(field)
            if value.qualifier == "PSET":
                found["place"] = value.data[:35]
            elif value.qualifier == other_side:
                found["counterparty"] = value.data[:35]
    return found
