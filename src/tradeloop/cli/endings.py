"""How a command can end, and the end of its help: examples and exit codes."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NOT_ALLOWED: Final = 4
CONFLICT: Final = 5
FOUND: Final = 6
UNREACHABLE: Final = 7
STILL_WAITING: Final = 8
INTERRUPTED: Final = 130

MEANINGS: Final = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "wrong usage, or a wrong setting",
    NOT_FOUND: "not found",
    NOT_ALLOWED: "not signed in, or not allowed",
    CONFLICT: "conflict: something else is there already",
    FOUND: "finished, and found something",
    UNREACHABLE: "a needed part is unreachable",
    STILL_WAITING: "still waiting when the time was over",
    INTERRUPTED: "Ctrl-C",
}
"""Exit codes: one meaning each, for every command."""


def epilog(*examples: str, codes: dict[int, str] | tuple[int, ...] = ()) -> str:
    """The end of a help text: two examples, and the exit codes that the command uses.

    `codes` says of each in this command's own words what it means, or names those beside 0, 1, 2 and 130, which every
    command has.
    """
    own = codes if isinstance(codes, dict) else {code: MEANINGS[code] for code in codes}
    meanings = {code: MEANINGS[code] for code in (DONE, FAILED, USAGE, INTERRUPTED)} | own
    lines = [f"{code:>5}  {meanings[code]}" for code in sorted(meanings)]
    title = "Example:" if len(examples) == 1 else "Examples:"
    shown = "\n".join(["\b", title, *(f"  {example}" for example in examples)])
    return shown + "\n\n" + "\n".join(["\b", "Exit codes:", *lines])
