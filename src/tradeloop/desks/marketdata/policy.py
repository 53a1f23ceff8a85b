"""The market-data desk's policy: thresholds and decisions that the firm owns, as data."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self  # Any: YAML from outside

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tradeloop.desks.marketdata.batch import AssetClass
from tradeloop.domain.canonical import canonical_json, sha256_hex
from tradeloop.errors import SettingInvalid

SHIPPED: Final = Path(__file__).with_name("policy.yaml")


class Outcome(StrEnum):
    """The desk's answers; the policy's lattice orders them."""

    ACCEPT = "ACCEPT"
    ACCEPT_WITH_NOTE = "ACCEPT_WITH_NOTE"
    QUARANTINE_ROWS = "QUARANTINE_ROWS"
    REFETCH = "REFETCH"
    REJECT_BATCH = "REJECT_BATCH"
    ESCALATE = "ESCALATE"


class Rule(StrEnum):
    """The checks; numbers as in the desk's catalogue (docs/desks/marketdata.md)."""

    HISTORY = "MD00"
    SCHEMA = "MD01"
    NON_POSITIVE = "MD02"
    OHLC = "MD03"
    DUPLICATE = "MD04"
    GAP = "MD05"
    OFF_CALENDAR = "MD06"
    STALE = "MD08"
    SPIKE = "MD09"
    LEVEL = "MD10"
    VOLUME = "MD12"
    TRUNCATED = "MD15"
    EXTREME = "MD19"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


Share = Annotated[float, Field(gt=0, le=1)]


class Thresholds(_Part):
    """The figures of the checks; the YAML says where each comes from."""

    history_bars: int = Field(ge=20, le=2000)
    history_bars_min: int = Field(ge=5, le=2000)
    outlier_mad: float = Field(gt=0, le=1000)
    outlier_move: float = Field(gt=0, le=10)
    reversal_share: Share
    displaced_mad: float = Field(gt=0, le=1000)
    displaced_move: float = Field(gt=0, le=10)
    level_ratios: tuple[Annotated[float, Field(gt=1.2, le=1_000_000)], ...] = Field(min_length=1)
    level_tolerance: float = Field(gt=0, le=0.2)
    level_certain_ratio: float = Field(gt=1)
    stale_bars: int = Field(ge=2)
    stale_flat_bars: int = Field(ge=2)
    volume_multiple: float = Field(gt=1)
    volume_required: tuple[AssetClass, ...]
    non_positive_allowed: tuple[AssetClass, ...]
    ohlc_tolerance: float = Field(ge=0, le=0.01)
    second_source_tolerance: Share


class Between(_Part):
    """Another answer for moves of a certain size."""

    from_: float = Field(alias="from", ge=0)
    to: float = Field(gt=0)
    decision: Outcome


class RulePolicy(_Part):
    """What one check's finding leads to."""

    title: str = Field(min_length=1, max_length=80)
    decision: Outcome
    between: Between | None = None
    confirmed: Outcome | None = None
    contradicted: Outcome | None = None


class ActionPolicy(_Part):
    """The effect of a decision."""

    kind: Literal["trigger_dag"]
    target: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,250}$")


class Policy(_Part):
    """Everything the desk decides by."""

    name: Literal["marketdata"]
    version: str = Field(min_length=1, max_length=40)
    owner: str = Field(min_length=1, max_length=200)
    lattice: tuple[Outcome, ...]
    thresholds: Thresholds
    rows_share_max: float = Field(ge=0, le=1)
    rows_share_min: int = Field(ge=1)
    rows_share_decision: Outcome
    refetches_max: int = Field(ge=0, le=100)
    rules: dict[Rule, RulePolicy]
    actions: dict[Outcome, ActionPolicy | None]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _need_all("lattice", Outcome, list(self.lattice))
        _need_all("rules", Rule, list(self.rules))
        _need_all("actions", Outcome, list(self.actions))
        if self.lattice[0] is not Outcome.ACCEPT:
            raise ValueError(
                f"lattice must begin with ACCEPT, the least cautious answer; it begins with {self.lattice[0]}"
            )
        return self

    @cached_property
    def digest(self) -> str:
        """sha256 of the policy's meaning: comments, spacing and the order of keys do not count."""
        return sha256_hex(canonical_json(self.model_dump(mode="json", by_alias=True)))

    def caution(self, outcome: Outcome) -> int:
        """The outcome's place in the lattice; higher is more cautious."""
        return self.lattice.index(outcome)


class _PolicySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRADELOOP_MARKETDATA_", env_file=".env", extra="ignore")
    policy: Path | None = None


def load_policy(path: Path | None = None) -> Policy:
    """Read the policy: `path`, else the file that TRADELOOP_MARKETDATA_POLICY names, else the one that ships.

    Raises:
        SettingInvalid: the file is absent or wrong; names line, field, value and what is expected.
    """
    chosen = path or _PolicySettings().policy or SHIPPED
    try:
        text = chosen.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingInvalid(
            f"the market-data policy {chosen} cannot be read: {problem}", hint="set TRADELOOP_MARKETDATA_POLICY"
        ) from problem
    except yaml.YAMLError as problem:
        raise SettingInvalid(f"{chosen} is not YAML: {' '.join(str(problem).split())}") from problem
    _refuse_doubled_keys(tree, chosen)
    try:
        return Policy.model_validate(raw)
    except ValidationError as problem:
        raise SettingInvalid(_explain(problem, tree, chosen)) from problem


def _need_all(field: str, members: type[StrEnum], given: list[Any]) -> None:
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
