"""ISO 20022 camt.053 statements (and camt.052 reports), release by release read by their element names.

The text is from outside: document types and entities are refused, depth and numbers bounded, and the line of every
element is kept for the refusals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final
from xml.parsers import expat

from tradeloop.desks.reconciliation.refusal import RecordInvalid
from tradeloop.desks.reconciliation.statements import MAX_ENTRIES, Entry, Statement, day, figure, plain

MAX_DEPTH: Final = 40
"""camt.053 nests about 15 deep; deeper is an attack on whoever walks the tree."""
MAX_ELEMENTS: Final = 2_000_000
_NAMESPACE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.05[23]\.001\.\d{2}")
_STATEMENTS: Final = ("Stmt", "Rpt")


@dataclass(slots=True)
class Node:
    """An element that is kept: a statement, a balance, an entry, and what stands in them."""

    name: str
    line: int
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def find(self, *path: str) -> Node | None:
        """The first descendant on a path of names."""
        node: Node | None = self
        for name in path:
            node = next((child for child in node.children if child.name == name), None) if node else None
        return node

    def told(self, *path: str) -> str:
        """Its text, or nothing."""
        node = self.find(*path)
        return node.text.strip() if node else ""


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._started
        self._parser.EndElementHandler = self._ended
        self._parser.CharacterDataHandler = self._read
        self._parser.StartDoctypeDeclHandler = self._refused
        self._parser.EntityDeclHandler = self._refused
        self._parser.ExternalEntityRefHandler = self._refused
        self._stack: list[Node] = []
        self._elements = 0
        self.root: Node | None = None

    def read(self, text: str) -> Node:
        try:
            self._parser.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError as problem:
            told = f"not well-formed XML: {expat.ErrorString(problem.code)}"
            path = self._stack[-1].name if self._stack else "Document"
            raise RecordInvalid(told, file=self._file, line=problem.lineno, field=path) from problem
        if self.root is None:
            raise RecordInvalid("no document", file=self._file, line=1, field="Document")
        return self.root

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        space, _, local = name.rpartition(" ")
        line = self._parser.CurrentLineNumber
        if not self._stack and (local != "Document" or not _NAMESPACE.fullmatch(space)):
            told = f"{name!r:.120} is not read; Document of camt.053.001 or camt.052.001 is expected"
            raise RecordInvalid(told, file=self._file, line=line, field="Document")
        if len(self._stack) > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            told = f"more than {MAX_DEPTH} levels or {MAX_ELEMENTS:,} elements"
            raise RecordInvalid(told, file=self._file, line=line, field=local[:40])
        node = Node(local[:60], line, attributes=attributes)
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self.root = node
        self._stack.append(node)

    def _ended(self, _name: str) -> None:
        self._stack.pop()

    def _read(self, data: str) -> None:
        if self._stack and len(self._stack[-1].text) < 4_000:
            self._stack[-1].text += data

    def _refused(self, *_given: object) -> int:
        line = self._parser.CurrentLineNumber
        raise RecordInvalid("document types and entities are not read", file=self._file, line=line, field="DOCTYPE")


def read_camt053(text: str, file: str) -> tuple[Statement, ...]:
    """Every statement of a message.

    Raises:
        RecordInvalid: not such a message, or a statement that lacks what it must have; names line and element.
    """
    root = _Reader(file).read(text.lstrip("\ufeff \t\r\n"))
    messages = [child for child in root.children if child.name in ("BkToCstmrStmt", "BkToCstmrAcctRpt")]
    nodes = [node for message in messages for node in message.children if node.name in _STATEMENTS]
    if not nodes:
        raise RecordInvalid("the message holds no statement", file=file, line=root.line, field="Stmt")
    found = tuple(_statement(node, file) for node in nodes)
    if sum(len(one.entries) for one in found) > MAX_ENTRIES:
        raise RecordInvalid(f"more than {MAX_ENTRIES:,} entries", file=file, line=root.line, field="Ntry")
    return found


def _statement(node: Node, file: str) -> Statement:
    account = plain(node.told("Acct", "Id", "IBAN") or node.told("Acct", "Id", "Othr", "Id"))
    entries = tuple(
        entry for child in node.children if child.name == "Ntry" if (entry := _entry(child, account, file)) is not None
    )
    return Statement(
        line=node.line,
        account=account,
        entries=entries,
        opening=_balance(node, ("OPBD", "PRCD"), file),
        closing=_balance(node, ("CLBD",), file),
    )


def _balance(node: Node, codes: tuple[str, ...], file: str) -> Decimal | None:
    for code in codes:
        for child in node.children:
            if child.name == "Bal" and child.told("Tp", "CdOrPrtry", "Cd") == code:
                return _signed(child, file)
    return None


def _entry(node: Node, account: str, file: str) -> Entry | None:
    status = node.told("Sts") or node.told("Sts", "Cd")
    if status and status != "BOOK":
        return None  # pending and for information: not in the balances
    amount = node.find("Amt")
    currency = amount.attributes.get("Ccy", "") if amount else ""
    if not re.fullmatch(r"[A-Z]{3}", currency, re.ASCII):
        raise RecordInvalid("the amount has no currency", file=file, line=node.line, field="Ntry/Amt")
    refs = node.find("NtryDtls", "TxDtls", "Refs")
    references = [refs.told("EndToEndId"), refs.told("AcctSvcrRef")] if refs else []
    texts = [node.told("AddtlNtryInf"), node.told("NtryDtls", "TxDtls", "RmtInf", "Ustrd")]
    return Entry(
        line=node.line,
        amount=_signed(node, file),
        currency=currency,
        value_date=_day(node, file),
        reference=next((name for text in [*references, node.told("NtryRef")] if (name := plain(text))), ""),
        account=account,
        text=" ".join(text for text in texts if text)[:2_000],
    )


def _signed(node: Node, file: str) -> Decimal:
    amount, sign = node.find("Amt"), node.told("CdtDbtInd")
    if amount is None or sign not in ("CRDT", "DBIT"):
        field = f"{node.name}/{'CdtDbtInd' if amount else 'Amt'}"
        raise RecordInvalid("is missing", file=file, line=node.line, field=field)
    size = figure(amount.text.strip(), file=file, line=amount.line, field=f"{node.name}/Amt")
    return size if sign == "CRDT" else -size


def _day(node: Node, file: str) -> date:
    for name in ("ValDt", "BookgDt"):
        told = node.told(name, "Dt") or node.told(name, "DtTm")[:10]
        if told:
            return day(told, file=file, line=node.line, field=f"Ntry/{name}")
    raise RecordInvalid("is missing", file=file, line=node.line, field="Ntry/ValDt")
