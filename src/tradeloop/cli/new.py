"""tradeloop new desk: a desk of one's own that works from the first minute."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from tradeloop.cli.endings import CONFLICT, epilog
from tradeloop.cli.output import JsonFlag, print_json, say

DESK = epilog(
    "tradeloop new desk prices",
    "tradeloop new desk prices --in ~/desks",
    codes={CONFLICT: "the folder is there already; nothing was written"},
)
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
FILES: Final = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "desk/init.txt": "{name}_desk/__init__.py",
    "desk/desk.py.txt": "{name}_desk/desk.py",
    "desk/policy.yaml.txt": "{name}_desk/policy.yaml",
    "dags.py.txt": "dags/{name}_dags.py",
    "test.py.txt": "tests/test_{name}.py",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    new = typer.Typer(help="Begin something of your own.", no_args_is_help=True)
    new.callback()(_beginning)
    new.command("desk", epilog=DESK)(desk)
    app.add_typer(new, name="new")


def _beginning() -> None:
    """Begin something of your own."""


def desk(
    name: Annotated[str, typer.Argument(help="The desk's name: small letters, digits and _.")],
    folder: Annotated[Path, typer.Option("--in", help="Where its folder is made.")] = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Make a desk that works: facts, policy, graph, two DAGs, a test, an entry point."""
    from importlib.resources import files
    from string import Template

    from tradeloop.errors import StackConflict, UsageInvalid

    if not NAME.fullmatch(name):
        raise UsageInvalid(f"{name!r} is no name for a desk: small letters, digits and _, a letter first.")
    root = folder / f"{name}-desk"
    if root.exists():
        raise StackConflict(f"{root} is there already; nothing was written.", hint="another name, or --in")
    template = files("tradeloop.desks") / "template"
    made = []
    for source, target in FILES.items():
        path = root / target.format(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template((template / source).read_text(encoding="utf-8")).substitute(name=name), "utf-8")
        made.append(str(path))
    if as_json:
        print_json({"desk": name, "folder": str(root), "files": made})
        return
    say("\n".join(f"  {path}" for path in made))
    say(f"next: pip install --no-deps -e {root} && python -m pytest {root}/tests && tradeloop graphs list")
