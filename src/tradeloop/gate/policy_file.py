"""Policies as files that the firm owns: YAML, checked by a schema, hashed by their meaning."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar  # Any: YAML from outside

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tradeloop.domain.canonical import canonical_json, sha256_hex
from tradeloop.errors import SettingInvalid


class PolicyPart(BaseModel):
    """A part of a policy: frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PolicyFile(PolicyPart):
    """A whole policy."""

    @cached_property
    def digest(self) -> str:
        """sha256 of the policy's meaning: comments, spacing and the order of keys do not count."""
        return sha256_hex(canonical_json(self.model_dump(mode="json", by_alias=True)))


P = TypeVar("P", bound=PolicyFile)


def read_policy(kind: type[P], path: Path, *, setting: str) -> P:
    """Read a policy; `setting` is the environment variable that names the file.

    Raises:
        SettingInvalid: the file is absent or wrong; names line, field, value and what is expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingInvalid(f"the policy {path} cannot be read: {problem}", hint=f"set {setting}") from problem
    except yaml.YAMLError as problem:
        raise SettingInvalid(f"{path} is not YAML: {' '.join(str(problem).split())}") from problem
    _refuse_doubled_keys(tree, path)
    try:
        return kind.model_validate(raw)
    except ValidationError as problem:
        raise SettingInvalid(_explain(problem, tree, path)) from problem


def need_all(field: str, members: type[StrEnum], given: list[Any]) -> None:
    """Refuse a list (ValueError) that does not name each member once."""
    missing = [member.value for member in members if member not in given]
    if missing or len(given) != len(members):
        told = f"lacks {', '.join(missing)}" if missing else "names one twice"
        raise ValueError(f"{field} {told}; each of {', '.join(members)} is expected once")


def _refuse_doubled_keys(node: yaml.Node | None, path: Path) -> None:
    # PyYAML takes the last of two equal keys in silence: a threshold would change without a trace.
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise SettingInvalid(f"{path} line {key.start_mark.line + 1}, field {key.value}: is given twice")
            seen.add(key.value)
            _refuse_doubled_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_doubled_keys(child, path)


def _explain(problem: ValidationError, tree: yaml.Node | None, path: Path) -> str:
    errors = problem.errors(include_url=False)
    # A misspelt field is both unknown and missing; the unknown one has a line of its own.
    error = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    field = ".".join(str(step) for step in error["loc"] if step != "[key]")
    found = "" if error["type"] in ("missing", "value_error") else f"{error['input']!r:.80}: "
    message = f"{error['msg'][:1].lower()}{error['msg'][1:]}".removeprefix("value error, ")
    if error["type"] == "extra_forbidden":
        message = "the policy has no such field"
    return f"{path} line {_line_of(tree, error['loc'])}, field {field or 'policy'}: {found}{message}"


def _line_of(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    line = 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line
