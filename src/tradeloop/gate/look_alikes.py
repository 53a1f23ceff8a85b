"""One spelling for texts that people would read as the same: against names and parameters that only look so."""

from __future__ import annotations

import unicodedata
from typing import Final

# Letters of Cyrillic and Greek that stand, small or capital, for a Latin one; the commonest of Unicode's confusables.
LETTERS: Final = str.maketrans(
    {
        "\u0430": "a", "\u0432": "b", "\u0435": "e", "\u0437": "3", "\u043a": "k", "\u043c": "m", "\u043d": "h",
        "\u043e": "o", "\u0440": "p", "\u0441": "c", "\u0442": "t", "\u0443": "y", "\u0445": "x", "\u0455": "s",
        "\u0456": "i", "\u0458": "j", "\u0501": "d", "\u051b": "q", "\u051d": "w", "\u0261": "g", "\u0131": "i",
        "\u03b1": "a", "\u03b2": "b", "\u03b5": "e", "\u03b6": "z", "\u03b7": "h", "\u03b9": "i", "\u03ba": "k",
        "\u03bc": "m", "\u03bd": "n", "\u03bf": "o", "\u03c1": "p", "\u03c4": "t", "\u03c5": "y", "\u03c7": "x",
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
    }
)  # fmt: skip
UNSEEN: Final = frozenset({"Cc", "Cf", "Mn", "Me", "Zl", "Zp"})
"""Categories that leave no mark of their own: controls, joiners, direction marks, accents."""


def folded(text: str) -> str:
    """The text as the eye has it, for comparing only.

    Without case, width, accents and invisible characters, in Latin letters where they look the same.

    Example:
        >>> folded("B\\u0410D\\u200bbank ")
        'badbank'
    """
    plain = unicodedata.normalize("NFKD", text)
    seen = "".join(sign for sign in plain if unicodedata.category(sign) not in UNSEEN)
    return " ".join(seen.casefold().translate(LETTERS).split())
