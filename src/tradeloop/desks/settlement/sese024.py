"""ISO 20022 sese.024 (SecuritiesSettlementTransactionStatusAdvice) as an advice.

The text is from outside. Before any model is filled, one pass over it refuses document types and entities, depth and
numbers beyond what the message can have, and keeps the line of every element for the refusals after it.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final  # Any: the library's generated classes, all fields optional
from xml.parsers import expat

from pydantic import ValidationError

from tradeloop.desks.settlement.advice import MAX_REASONS, Advice, Instruction, Reason, Status, quotable
from tradeloop.desks.settlement.fin import MAX_MESSAGE_BYTES
from tradeloop.desks.settlement.refusal import MessageInvalid

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:sese.024.001.12"
MAX_DEPTH: Final = 32
"""sese.024 nests 12 deep; deeper is an attack on whoever walks the tree."""
MAX_ELEMENTS: Final = 20_000
_ROOT: Final = f"{NAMESPACE} Document"
_PROCESSING: Final = {
    "ackd_accptd": "PACK",
    "pdg_prcg": "PPRC",
    "rjctd": "REJT",
    "rpr": "REPR",
    "canc": "CAND",
    "pdg_cxl": "CANP",
    "cxl_reqd": "CPRC",
    "mod_reqd": "MPRC",
}
"""The processing statuses under the codes that 25D::IPRC has for them."""
_SETTLEMENT: Final = {"pdg": "PEND", "flng": "PENF"}
_MATCHING: Final = {"mtchd": "MACH", "umtchd": "NMAT"}
_QUANTITIES: Final = {"unit": "UNIT", "face_amt": "FAMT", "amtsd_val": "AMOR"}


@dataclass(slots=True)
class _Pass:
    """What the first pass sees."""

    parser: expat.XMLParserType
    path: list[str] = field(default_factory=list)
    elements: int = 0
    places: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Line and path of the first element or attribute of each name."""
    texts: list[tuple[str, int, str]] = field(default_factory=list)
    """Path, line and text of each element that holds text."""

    def started(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self.elements += 1
        if not self.path and name != _ROOT:
            told = f"{name!r:.120} is not read; Document of {NAMESPACE} is expected"
            raise MessageInvalid(told, line=self.parser.CurrentLineNumber, field="Document")
        self.path.append(name.rpartition(" ")[2][:40])
        if len(self.path) > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            told = f"more than {MAX_DEPTH} levels or {MAX_ELEMENTS:,} elements"
            raise MessageInvalid(told, line=self.parser.CurrentLineNumber, field=_shown(self.path))
        for each in (self.path[-1], *attributes):
            self.places.setdefault(each, (self.parser.CurrentLineNumber, _shown(self.path)))

    def ended(self, _name: str) -> None:
        """An element ends."""
        self.path.pop()

    def read(self, data: str) -> None:
        """Text of an element."""
        if data.strip():
            self.texts.append(("/".join(self.path), self.parser.CurrentLineNumber, data.strip()))

    def refused(self, *_given: object) -> None:
        """A document type or an entity."""
        told = "document types and entities are not taken"
        raise MessageInvalid(told, line=self.parser.CurrentLineNumber, field="DOCTYPE")


def read_sese024(text: str) -> Advice:
    """Read one message.

    Raises:
        MessageInvalid: no sese.024.001.12, or one with values that its schema does not have; names line and element.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError as problem:
        raise MessageInvalid(f"the message is no text: {problem.reason}", line=1) from problem
    seen = _first_pass(raw)
    model, parser = _library()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            document = parser.from_bytes(raw, model)
        except Exception as problem:  # the library raises whatever its converters meet
            raise _explained(problem, seen) from problem
    try:
        return _advice(document.scties_sttlm_tx_sts_advc, seen)
    except ValidationError as problem:  # the library checks types, not ranges and patterns
        first = problem.errors(include_url=False)[0]
        name = ".".join(str(step) for step in first["loc"])
        raise MessageInvalid(f"{name}: {first['msg']}", line=1, field="Document/SctiesSttlmTxStsAdvc") from problem
    except (ValueError, OverflowError) as problem:  # a day that no calendar has
        raise MessageInvalid(f"{problem}", line=1, field="Document/SctiesSttlmTxStsAdvc/TxDtls") from problem


@lru_cache(maxsize=1)
def _library() -> tuple[Any, Any]:
    # The generated classes take a second or two to import: once, and not by those who read MT548 alone.
    from python_iso20022.sese.sese_024_001_12.models import Sese02400112
    from xsdata.formats.dataclass.parsers import XmlParser
    from xsdata.formats.dataclass.parsers.config import ParserConfig
    from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler

    config = ParserConfig(fail_on_unknown_attributes=True, fail_on_converter_warnings=True)
    return Sese02400112, XmlParser(config=config, handler=XmlEventHandler)


def _first_pass(raw: bytes) -> _Pass:
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MessageInvalid(f"the message has {len(raw):,} bytes; at most {MAX_MESSAGE_BYTES:,} are read")
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    seen = _Pass(parser)
    parser.StartElementHandler, parser.EndElementHandler = seen.started, seen.ended
    parser.CharacterDataHandler = seen.read
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = seen.refused
    parser.buffer_text = True
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as problem:
        told = f"not XML: {expat.errors.messages.get(problem.code, 'malformed')}"
        raise MessageInvalid(told, line=problem.lineno, field=_shown(seen.path)) from problem
    except (ValueError, LookupError) as problem:  # an encoding that nobody knows
        raise MessageInvalid(f"not XML: {problem}", line=1) from problem
    return seen


def _shown(path: list[str]) -> str:
    return "/".join(path[-4:])


def _explained(problem: Exception, seen: _Pass) -> MessageInvalid:
    # The library names value or element, not where it stands.
    text = re.sub(r"\{[^}]*\}", "", " ".join(str(problem).split()))
    for path, line, value in seen.texts:
        if f"`{value}`" in text:
            return MessageInvalid(f"{text:.200}", line=line, field=_shown(path.split("/")))
    line, shown = seen.places.get(re.split(r"[:\s]", text)[-1], (1, "Document"))
    return MessageInvalid(f"does not fit its schema: {text:.200}", line=line, field=shown)


def _advice(told: Any, seen: _Pass) -> Advice:
    if told is None:
        raise MessageInvalid("SctiesSttlmTxStsAdvc is expected", line=1, field="Document")
    found = [
        *_statuses("IPRC", told.prcg_sts, _PROCESSING, seen),
        *_statuses("INMH", told.ifrrd_mtchg_sts, _MATCHING, seen),
        *_statuses("MTCH", told.mtchg_sts, _MATCHING, seen),
        *_statuses("SETT", told.sttlm_sts, _SETTLEMENT, seen),
    ]
    if not found:
        raise MessageInvalid("no status is told", line=1, field="Document/SctiesSttlmTxStsAdvc")
    if sum(len(status.reasons) for status in found) > MAX_REASONS:
        raise MessageInvalid(f"more than {MAX_REASONS} reasons", line=1, field="Document/SctiesSttlmTxStsAdvc")
    identification = told.tx_id
    reference = identification.acct_ownr_tx_id or identification.acct_svcr_tx_id or "" if identification else ""
    return Advice(
        standard="sese.024",
        reference=str(reference)[:35],
        statuses=tuple(found),
        instruction=_instruction(told.tx_dtls),
        narratives=tuple(quotable(text) for path, _, text in seen.texts if path.endswith(("AddtlRsnInf", "AddtlDtls"))),
    )


def _statuses(kind: str, choice: Any, names: dict[str, str], seen: _Pass) -> list[Status]:
    if choice is None:
        return []
    found = []
    for name, code in names.items():
        told = getattr(choice, name, None)
        if told is not None:
            found.append(Status(kind=kind, code=code, reasons=tuple(_reasons(told, seen))))
    own = getattr(choice, "prtry", None)
    if own is not None:
        status = own.prtry_sts
        found.append(Status(kind=kind, code=str(status.id)[:35], scheme=str(status.issr or "")[:35] or "?"))
    return found


def _reasons(told: Any, seen: _Pass) -> list[Reason]:
    given = getattr(told, "rsn", None)
    reasons = []
    for each in given if isinstance(given, list) else [given] if given is not None else []:
        code = getattr(each, "cd", None)
        standard, own = getattr(code, "cd", None), getattr(code, "prtry", None)
        if standard is not None:
            reasons.append(Reason(code=standard.value, line=_line_of(standard.value, seen)))
        elif own is not None:
            reasons.append(Reason(code=str(own.id)[:35], scheme=str(own.issr or "")[:35] or "?"))
        else:
            reasons.append(Reason(code="?", scheme="?"))
    return reasons


def _line_of(code: str, seen: _Pass) -> int:
    return next((line for path, line, text in seen.texts if text == code and path.endswith("Cd")), 0)


def _instruction(terms: Any) -> Instruction:
    if terms is None:
        return Instruction()
    given: dict[str, Any] = {
        "isin": terms.fin_instrm_id.isin if terms.fin_instrm_id else None,
        "isd": _day(terms.sttlm_dt),
        "trade_date": _day(terms.trad_dt),
        "direction": terms.scties_mvmnt_tp.value if terms.scties_mvmnt_tp else None,
        "against_payment": terms.pmt.value == "APMT" if terms.pmt else None,
        "account": terms.sfkpg_acct.id[:35] if terms.sfkpg_acct and terms.sfkpg_acct.id else None,
    }
    if terms.mtchd_sts_tm_stmp is not None:
        given["matched_on"] = terms.mtchd_sts_tm_stmp.to_datetime().date()
    chosen = terms.sttlm_qty.qty if terms.sttlm_qty else None
    for name, kind in _QUANTITIES.items():
        if chosen is not None and getattr(chosen, name, None) is not None:
            given |= {"quantity": Decimal(getattr(chosen, name)), "quantity_type": kind}
    if terms.sttlm_amt is not None and terms.sttlm_amt.amt is not None:
        given |= {"amount": Decimal(terms.sttlm_amt.amt.value), "currency": terms.sttlm_amt.amt.ccy}
    return Instruction(**given)


def _day(choice: Any) -> date | None:
    told = choice.dt if choice is not None else None
    if told is None:
        return None
    moment = told.dt if told.dt is not None else told.dt_tm
    if moment is None:
        return None
    return date(moment.year, moment.month, moment.day)
