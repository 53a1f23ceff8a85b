"""Text of any origin on a page: what a reader would not see, or what would turn a line round, is spelled out."""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup

INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(chr(code) for code in range(0xFE00, 0xFE10))
    + "".join(chr(code) for code in range(0xE0100, 0xE01F0))
)
"""Characters that Unicode counts as letters or marks and that nobody sees."""
PLAIN: Final = re.compile(r"[\x20-\x7e\n]*")
"""Nothing to spell: nearly every text."""


def spelled(text: str) -> str:
    """The text with every control, bidi, zero-width and otherwise invisible character as ⟨U+202E⟩; newlines stay."""
    if PLAIN.fullmatch(text):
        return text
    unified = text.replace("\r\n", "\n")
    return "".join(c if c == "\n" or (c.isprintable() and c not in INVISIBLE) else f"⟨U+{ord(c):04X}⟩" for c in unified)


def finalized(value: object) -> object:
    """What Jinja writes for an expression: strings spelled (and escaped after this), our own markup as it is."""
    if value is None:
        return ""
    return spelled(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def cut(text: object, most: int = 400) -> str:
    """One line, at most so many characters."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"
