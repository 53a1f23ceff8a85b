"""docs/api.md against the code: every route with its roles, every code, the example."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tradeloop.api import access, problems
from tradeloop.api.problems import Problem
from tradeloop.api.routes import ROUTERS

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
SOURCE = Path(problems.__file__).parent
WORDS = {"all": access.EVERYBODY, "readers": access.READERS, "everybody": frozenset()}


def rows() -> dict[str, str]:
    """Roles by method and path, with `…/x` written out."""
    found: dict[str, str] = {}
    for line in re.findall(r"^\| (`(?:GET|POST) .*?) \| (.*?) \|", PAGE, re.MULTILINE):
        last = ""
        for method, path in re.findall(r"`(?:(GET|POST) )?([^`]+)`", line[0]):
            last_method = method or last.partition(" ")[0]
            base = last.partition(" ")[2]
            whole = path
            if path.startswith("…"):
                parts = [base, base.rpartition("/")[0]]
                whole = next(p for part in parts if (p := part + path[1:]) in {plain(one) for one in known()})
            found[f"{last_method} {whole}"] = line[1]
            if not path.startswith("…") or "{" in path:
                last = f"{last_method} {whole}"
    return found


def plain(route: str) -> str:
    return re.sub(r"{\w*id}", "{id}", route.partition(" ")[2])


def known() -> dict[str, str]:
    """Route's name by method and path."""
    return {
        f"{method} {route.path}": route.name  # type: ignore[attr-defined]
        for router in ROUTERS
        for route in router.routes
        for method in route.methods  # type: ignore[attr-defined]
    }


def test_every_route_is_on_the_page_with_its_roles() -> None:
    told = rows()
    for route, name in known().items():
        if name == "openapi":
            continue
        method = route.partition(" ")[0]
        words = told[f"{method} {plain(route)}"].partition(";")[0].partition(",")[0]
        expected = access.ROLES.get(name, frozenset())
        listed = told[f"{method} {plain(route)}"]
        roles = WORDS.get(words, frozenset()) | {role for role in access.EVERYBODY if re.search(rf"\b{role}\b", listed)}
        if words == "all":
            roles = access.EVERYBODY
        assert roles == expected, route


def test_every_code_is_on_the_page() -> None:
    codes = {code for _, code in problems.STATUSES.values()}
    for file in SOURCE.rglob("*.py"):
        codes |= set(re.findall(r"Refusal\(\s*\d{3},\s*\"(\w+)\"", file.read_text()))
    codes |= {"not_json", "no_such_route", "method_not_allowed", "defect"}
    listed = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("| status | codes") : PAGE.index("## Limits")]))
    assert codes - listed == set()
    assert listed - codes - {"Allow", "application"} <= {"Retry", "After"}


def test_the_example_of_a_problem_is_one() -> None:
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert example
    found = Problem.model_validate(json.loads(example[1]))
    assert found.type == f"urn:tradeloop:problem:{found.code}"
