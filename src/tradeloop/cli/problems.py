"""How errors are told: what, where, what to do next; with `--json` as problem+json (RFC 9457) on stdout."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final  # Any: JSON for stdout

from tradeloop.cli.output import OUTPUT, printable
from tradeloop.errors import TradeloopError, UsageInvalid

if TYPE_CHECKING:
    import typer

TYPE: Final = "urn:tradeloop:error:"
"""Begin of the `type` member; what follows is the error's class in kebab case and never changes."""


USAGE: Final = str(UsageInvalid.__doc__)


def tell(problem: TradeloopError) -> int:
    """Tell an error of ours; returns the exit code of its kind."""
    tell_words(
        problem.message,
        where=problem.where,
        hint=problem.hint,
        code=problem.exit_code,
        kind=kebab(type(problem).__name__),
        title=str(type(problem).__doc__).strip().splitlines()[0],
        facts={"retriable": problem.retriable, "actor": problem.actor},
    )
    _tell_causes(problem)
    return problem.exit_code


def tell_usage(problem: typer.TyperException) -> int:
    """Tell what is wrong with the words of the command line; the help itself when there were none."""
    words = problem.format_message()
    context = getattr(problem, "ctx", None)
    path = context.command_path if context else "tradeloop"
    if words.startswith("Usage:") and not OUTPUT.as_json:
        print(words, file=sys.stderr)
    elif words.startswith("Usage:"):
        tell_words("a command is missing.", hint=f"{path} --help", code=2, kind="usage-invalid", title=USAGE)
    else:
        tell_words(_sentence(words), hint=f"{path} --help", code=problem.exit_code, kind="usage-invalid", title=USAGE)
    return problem.exit_code


def tell_defect(problem: Exception, words: Sequence[str]) -> int:
    """Tell that tradeloop itself is at fault, and write a report file that helps to mend it."""
    path = _report(problem, words)
    tell_words(
        f"This is a defect in tradeloop: {type(problem).__name__}: {masked(str(problem))}".splitlines()[0],
        where=f"report: {path}",
        hint="read the report, it holds no settings; then send it to whoever looks after tradeloop",
        code=1,
        kind="defect",
    )
    _tell_causes(problem)
    return 1


def tell_words(
    message: str,
    *,
    where: str = "",
    hint: str = "",
    code: int = 1,
    kind: str = "failed",
    title: str = "",
    facts: dict[str, Any] | None = None,
) -> None:
    """Print an error, on stderr in words or on stdout as one JSON document."""
    if OUTPUT.as_json:
        document = {"type": TYPE + kind, "title": title or kind.replace("-", " "), "detail": message}
        more = {"where": where, "next": hint, "exit_code": code} | (facts or {})
        print(json.dumps(document | {name: value for name, value in more.items() if value != ""}), flush=True)
        return
    lines = [f"error: {message}", *(f"  {line}" for line in where.splitlines())]
    if hint:
        lines.append(f"  next: {hint}")
    sys.stdout.flush()
    print("\n".join(printable(line) for text in lines for line in text.splitlines()), file=sys.stderr)


def kebab(name: str) -> str:
    """`NotFound` as `not-found`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def masked(text: str) -> str:
    """The text without the passwords of URLs."""
    return re.sub(r"(://[^:/\s@]*):[^@\s]*@", r"\1:***@", text)


def _sentence(words: str) -> str:
    return words[:1].lower() + words[1:]


def _tell_causes(problem: BaseException) -> None:
    """With `-v` what lay beneath, with `-vv` or TRADELOOP_TRACEBACK the whole way there; on stderr."""
    if OUTPUT.verbose >= 2 or os.environ.get("TRADELOOP_TRACEBACK"):
        import traceback

        print(masked("".join(traceback.format_exception(problem))), file=sys.stderr, end="")
        return
    cause = problem.__cause__ or problem.__context__
    while OUTPUT.verbose and cause:
        print(masked(f"  caused by: {type(cause).__name__}: {cause}".rstrip()), file=sys.stderr)
        cause = cause.__cause__ or cause.__context__


def _report(problem: Exception, words: Sequence[str]) -> Path:
    import platform
    import traceback
    from importlib.metadata import version

    at = datetime.now(UTC)
    text = "\n".join(
        [
            f"tradeloop {version('tradeloop')}, Python {platform.python_version()}, {platform.platform()}",
            f"at {at.isoformat()}",
            "command: " + " ".join(["tradeloop", *words]),
            "",
            "".join(traceback.format_exception(problem)),
        ]
    )
    home = Path(os.environ.get("TRADELOOP_HOME") or ".tradeloop").expanduser()
    for folder in (home / "logs", Path(tempfile.gettempdir())):
        path = folder / f"defect-{at:%Y%m%dT%H%M%S}-{os.getpid()}.txt"
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
                file.write(masked(text))
        except OSError:
            continue
        return path
    return Path("none: no folder takes it")
