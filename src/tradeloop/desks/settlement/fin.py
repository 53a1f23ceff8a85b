"""ISO 15022 messages as a tree: fields with their lines, in sequences that 16R opens and 16S closes.

Only the form is read here: blocks, tags, sequences. What a field means is read by whoever knows the message type.
The texts are from outside: whatever does not have this form ends as a MessageInvalid that names line and tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tradeloop.desks.settlement.refusal import MessageInvalid

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""A FIN message has at most 10,000 characters, a statement by file some megabytes; more would fill a worker."""
MAX_DEPTH: Final = 16
"""ISO 15022 nests at most six deep (MT537); deeper is an attack on whoever walks the tree."""
MAX_FIELDS: Final = 500_000
_LINE_CHARS: Final = 2_000
"""FIN lines have at most 78 characters; a longer one is cut in no message that a system wrote."""
_FIELD: Final = re.compile(r":([0-9]{2}[A-Z]?):(.*)", re.ASCII | re.DOTALL)
_SEQUENCE: Final = re.compile(r"[A-Z0-9]{1,16}", re.ASCII)
_TYPE: Final = re.compile(r"\{2:[IO]([0-9]{3})", re.ASCII)
_ACKNOWLEDGEMENT: Final = re.compile(r"\{1:F21[^{}]*\}\{4:(?:\{[^{}]*\})*\}", re.ASCII)
_BLOCK_4: Final = re.compile(r"\{4:[ \t]*\n")
_END: Final = re.compile(r"\n-\}")
_TRAILER: Final = re.compile(r"(?:\s*\{[5S]:(?:\{[^{}]*\}|[^{}])*\})*\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `:25D::IPRC//PACK` is tag 25D with the value `:IPRC//PACK`."""

    tag: str
    value: str
    """As delivered; lines that went on are kept, parted by a line feed."""
    line: int


@dataclass(slots=True)
class Sequence:
    """A sequence, or the message's whole text block (named `4`)."""

    name: str
    line: int
    parts: list[Field | Sequence] = field(default_factory=list)

    @property
    def fields(self) -> list[Field]:
        """Its own fields, without those of sequences within."""
        return [part for part in self.parts if isinstance(part, Field)]

    def sequences(self, name: str) -> list[Sequence]:
        """The sequences of that name directly within."""
        return [part for part in self.parts if isinstance(part, Sequence) and part.name == name]

    def walk(self, name: str) -> Iterator[Sequence]:
        """The sequences of that name at any depth, in the order of the message."""
        for part in self.parts:
            if isinstance(part, Sequence):
                if part.name == name:
                    yield part
                yield from part.walk(name)


@dataclass(frozen=True, slots=True)
class FinMessage:
    """A message that was read."""

    type: str
    """`548` of MT548; empty when the text came without its header blocks."""
    text: Sequence


def read_fin(text: str) -> FinMessage:
    """Read one message: all blocks, or the text block alone; an acknowledgement before it is passed over.

    Raises:
        MessageInvalid: not of this form; names line and tag.
    """
    if len(text) > MAX_MESSAGE_BYTES:
        raise MessageInvalid(f"the message has {len(text):,} characters; at most {MAX_MESSAGE_BYTES:,} are read")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    acknowledged = _ACKNOWLEDGEMENT.match(text)
    begin = acknowledged.end() if acknowledged else 0
    if not text.startswith("{", begin):
        if not text.startswith(":", begin):
            raise MessageInvalid("no message of ISO 15022 begins here; {1: or :16R: is expected", line=1)
        return FinMessage(type="", text=_tree(text, 1))
    found = _BLOCK_4.search(text, begin)
    if found is None:
        raise MessageInvalid("there is no text block; {4: and a line break are expected", line=1, field="4")
    kind = _TYPE.search(text, begin, found.start())
    if kind is None:
        raise MessageInvalid("the message type is not told; {2:I548 or {2:O548 is expected", line=1, field="2")
    end = _END.search(text, found.end() - 1)
    line = text.count("\n", 0, found.end()) + 1
    if end is None:
        raise MessageInvalid(
            "the text block never ends (-}): the message was cut", line=text.count("\n") + 1, field="4"
        )
    if not _TRAILER.fullmatch(text, end.end()):
        told = "more follows the text block than trailers; one message is expected"
        raise MessageInvalid(told, line=text.count("\n", 0, end.end()) + 1, field="4")
    return FinMessage(type=kind[1], text=_tree(text[found.end() : end.start() + 1], line))


def _tree(body: str, first: int) -> Sequence:
    root = Sequence("4", first)
    open_sequences = [root]
    for part in _fields(body, first):
        if part.tag == "16R":
            inner = Sequence(_named(part), part.line)
            open_sequences[-1].parts.append(inner)
            open_sequences.append(inner)
            if len(open_sequences) > MAX_DEPTH:
                raise MessageInvalid(f"sequences nest deeper than {MAX_DEPTH}", line=part.line, field="16R")
        elif part.tag == "16S":
            _close(open_sequences, _named(part), part.line)
        else:
            open_sequences[-1].parts.append(part)
    if len(open_sequences) > 1:
        left = open_sequences[-1]
        raise MessageInvalid(f"sequence {left.name} is never closed by 16S", line=left.line, field="16R")
    if not root.parts:
        raise MessageInvalid("the text block is empty", line=first, field="4")
    return root


def _close(open_sequences: list[Sequence], name: str, line: int) -> None:
    last = open_sequences[-1]
    if len(open_sequences) == 1:
        raise MessageInvalid(f"16S closes {name}, which no 16R opened", line=line, field="16S")
    if last.name != name:
        told = f"16S closes {name}; open is {last.name} since line {last.line}"
        raise MessageInvalid(told, line=line, field="16S")
    open_sequences.pop()


def _named(part: Field) -> str:
    name = part.value.strip()
    if not _SEQUENCE.fullmatch(name):
        raise MessageInvalid(f"{name!r:.40} is no name of a sequence", line=part.line, field=part.tag)
    return name


def _fields(body: str, first: int) -> Iterator[Field]:
    tag, lines, begun, count = "", [""], 0, 0
    for number, line in enumerate(body.split("\n"), first):
        if len(line) > _LINE_CHARS:
            raise MessageInvalid(f"the line has {len(line):,} characters; {_LINE_CHARS:,} are read", line=number)
        found = _FIELD.fullmatch(line)
        if found:
            if tag:
                yield Field(tag, "\n".join(lines), begun)
            tag, lines, begun, count = found[1], [found[2]], number, count + 1
            if count > MAX_FIELDS:
                raise MessageInvalid(f"more than {MAX_FIELDS:,} fields", line=number, field=tag)
        elif line.startswith(":"):
            raise MessageInvalid(f"{line!r:.40} begins with a colon and is no field; :tag: is expected", line=number)
        elif tag:
            lines.append(line)
        elif line.strip():
            raise MessageInvalid(f"{line!r:.40} is no field; :tag: is expected", line=number)
    if tag:
        yield Field(tag, "\n".join(lines).rstrip("\n"), begun)
