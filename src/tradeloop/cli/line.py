"""The words of a command line: options of every command are accepted anywhere on it."""

from __future__ import annotations

from collections.abc import Sequence

GLOBALS = {
    "--fields": True,
    "--color": True,
    "--time": True,
    "--profile": True,
    "--api": True,
    "-q": False,
    "--quiet": False,
    "-v": False,
    "-vv": False,
    "--verbose": False,
    "--yes": False,
}
"""Options that the root command reads, and whether they take a value. No command has an option of such a name."""
JSON = "--json"


def arranged(words: Sequence[str]) -> list[str]:
    """The words with the options of every command in front, where the root reads them, and `--json` behind."""
    front: list[str] = []
    rest: list[str] = []
    literal: list[str] = []
    pending = list(words)
    as_json = False
    while pending:
        word = pending.pop(0)
        name, equals, _ = word.partition("=")
        if word == "--":
            literal = [word, *pending]
            break
        if word == JSON:
            as_json = True
        elif name in GLOBALS:
            front.append(word)
            if GLOBALS[name] and not equals and pending:
                front.append(pending.pop(0))
        else:
            rest.append(word)
    return front + rest + ([JSON] if as_json and rest else []) + literal


def wants_json(words: Sequence[str]) -> bool:
    """Whether `--json` is among the words, so that even an error in the others is told as JSON."""
    return JSON in (words[: words.index("--")] if "--" in words else words)
