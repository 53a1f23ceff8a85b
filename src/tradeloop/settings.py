"""Settings from the environment and `.env`; every variable begins with TRADELOOP_."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal  # Any: what a file says of a setting, before it is checked

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.errors import SettingInvalid

PREFIX = "TRADELOOP_"
PROFILE = "TRADELOOP_PROFILE"
STORE = r"[a-z][a-z0-9+.-]*://[A-Za-z0-9][A-Za-z0-9._@-]*(:[0-9]+)?(/[A-Za-z0-9._/-]*)?"
TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
"""What Kafka takes as a topic's name; none at all would be found out by the first record, which then waits for ever."""


BROKER = r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}"
ADDRESSES = {
    "database_url": (r"postgres(ql)?://\S+|\w+ *=.*", "postgresql://USER:PASSWORD@HOST/DATABASE"),
    "kafka_bootstrap": (rf"{BROKER}(,\s*{BROKER})*", "host:port, several of them separated by commas,"),
    "airflow_url": (r"https?://[^/\s]+\S*", "http://HOST:PORT or https://HOST"),
    "model_url": (r"https?://[^/\s@]+(/\S*)?", "http://HOST:PORT or https://HOST, without a password,"),
    "api_url": (r"https?://[^/\s@]+/?", "http://HOST:PORT or https://HOST, without a path,"),
    "oidc_jwks_url": (
        r"https://[^/\s@]+(/\S*)?|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/\S*)?",
        "https://HOST/…, or http:// on loopback,",
    ),
}
"""By setting: what fits, and how that is said. What does not fit would be found out late, and as something else."""
SECRET = re.compile(r"(?<=:)[^:@/]+(?=@)|(?<=password=)\S+")


class Settings(BaseSettings):
    """What every process of tradeloop reads at its start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    home: Path = Path(".tradeloop")
    """Data, secrets and logs of the local stack."""
    instance: str = Field(default="local", pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    """Names this Airflow; part of every derived id, so it never changes. Equals `[tradeloop] instance` in Airflow."""
    environment: str = "development"
    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")

    database_url: str = ""
    kafka_bootstrap: str = ""
    airflow_url: str = ""
    airflow_username: str = "tradeloop"
    airflow_password: SecretStr = SecretStr("")

    postgres_port: int = Field(default=5432, ge=0, le=65535)
    """Of the local stack: taken when free, another one otherwise; 0 takes any free one. The same for the next two."""
    kafka_port: int = Field(default=9092, ge=0, le=65535)
    airflow_port: int = Field(default=8080, ge=0, le=65535)
    airflow_triggerer: bool = False
    """Whether the local stack has a triggerer: 308 MB, needed only by DAGs that defer."""
    dags_folder: Path = Path("dags")

    events_topic: str = Field(default="workflow-events", pattern=TOPIC)
    decisions_topic: str = Field(default="workflow-decisions", pattern=TOPIC)
    dead_letters_topic: str = Field(default="workflow-dead-letters", pattern=TOPIC)
    group: str = Field(default="tradeloop", min_length=1)
    """Kafka consumer group of the workers."""

    encryption_key_file: Path | None = None
    """Keys that encrypt events as received, checkpoints and what people are shown; the first line is in use."""

    workflows: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Own workflows beside the entry points: `module:name`, separated by commas."""
    effects: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Own effects beside the entry points: `module:name`, separated by commas."""
    webhooks: Path | None = None
    """YAML file of the targets that the effect `webhook` may post to."""
    webhook_hosts: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Hosts (`host` or `host:port`) that webhooks may go to, separated by commas."""
    webhook_secret: SecretStr = SecretStr("")
    """Signs the calls of targets without a `secret_file`."""
    concurrency: int = Field(default=32, ge=1, le=10_000)
    """Runs that one worker has in hand at a time."""
    backlog: int = Field(default=50_000, ge=1)
    """Queued runs from which on intake pauses; smaller holds up small desks behind a flood, larger grows the table."""
    lease_s: float = Field(default=15.0, ge=3, le=3600)
    """How long a silent worker keeps its runs; smaller finds a dead one sooner, but a busy one may lose its own."""
    drain_s: float = Field(default=20.0, ge=0, le=3600)
    """How long a stopped worker lets its runs go on; with some 15 s more it must fit into the platform's patience."""
    reference_root: Path = Path(".tradeloop/batches")
    """The only folder from which a batch by reference is read."""
    reference_stores: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Beginnings of other addresses that batches are read from by fsspec: `s3://bucket/folder/`, by commas."""
    reference_timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """How long such a read may take."""

    model: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Models to ask, the first first: `ollama:NAME` or `openai:NAME`, each with `@URL` where it has a server of its
    own. When none of them answers, policy decides."""
    model_url: str = ""
    """Server of the models that name none: Ollama, or any that is compatible with OpenAI's."""
    model_key_file: Path | None = None
    """Holds the key for that server; no other one is sent it."""
    model_params: str = "temperature=0"
    """Sampling, separated by commas: temperature, top_p, top_k, seed; of Ollama num_thread, too."""
    model_max_tokens: int = Field(default=1024, ge=64, le=100_000)
    """Of one answer; a shorter one is cut off, and then fits no schema."""
    model_context: int = Field(default=16_384, ge=1024, le=10_000_000)
    """Tokens that question and answer may have together: a longer question is not asked, as servers cut it silently."""
    model_timeout_s: float = Field(default=30.0, gt=0, le=600)
    """Of one call."""
    model_patience_s: float = Field(default=60.0, gt=0, le=600)
    """Of one question in all: waits, retries, repair and the whole chain; twice this must fit a graph's time."""
    model_retries: int = Field(default=2, ge=0, le=10)
    """Further calls after a time-out, a lost connection, a 429 or a 5xx."""
    model_concurrency: int = Field(default=4, ge=1, le=1000)
    """Calls that one worker has out at a time; more wait, within the patience."""
    model_rate: float = Field(default=0.0, ge=0, le=10_000)
    """Calls a second that one worker begins; 0: any."""
    model_prices: str = ""
    """Cost by model of a million tokens in and out: `openai:NAME=0.25/2`, separated by commas."""
    model_run_tokens: int = Field(default=0, ge=0)
    """Tokens of one run. Here and below, 0 is no limit; the two of a day end at midnight UTC."""
    model_desk_tokens: int = Field(default=0, ge=0)
    model_day_tokens: int = Field(default=0, ge=0)
    model_run_cost: Decimal = Field(default=Decimal(0), ge=0)
    model_desk_cost: Decimal = Field(default=Decimal(0), ge=0)
    model_day_cost: Decimal = Field(default=Decimal(0), ge=0)
    model_record: Path | None = None
    """JSONL file to which every answer is added."""
    model_replay: Path | None = None
    """Such a file, to answer from; no model is asked."""

    api_host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Where the API listens; anything but loopback belongs behind something that speaks TLS."""
    api_port: int = Field(default=8088, ge=0, le=65535)
    """0 takes any free one."""
    api_url: str = ""
    """What browsers and programs call it by; with https, cookies are for https alone."""
    api_key_file: Path | None = None
    """Of a client: holds the key that commands with `--api` show."""
    api_rate: float = Field(default=50.0, ge=0, le=100_000)
    """Requests a second of one principal, four times as many at once; 0: any."""
    api_streams: int = Field(default=512, ge=1, le=100_000)
    """Event streams and long polls that one process holds open; each is a socket."""
    web_frame_origins: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Who may frame a page that is made for it (`https://HOST`), by commas; empty: Airflow's own address."""
    session_hours: float = Field(default=10.0, gt=0, le=168)
    """How long a browser stays signed in."""
    session_idle_minutes: float = Field(default=60.0, gt=0, le=10_080)
    """After so long without a request it is not."""
    oidc_issuer: str = ""
    """`iss` of the tokens that are taken; empty: none are, keys alone."""
    oidc_audience: str = ""
    """`aud` that they must name: this API."""
    oidc_jwks_url: str = ""
    """Where the issuer publishes its keys."""
    oidc_jwks_file: Path | None = None
    """Or a file with them, read again when it changes."""
    oidc_name_claim: str = Field(default="sub", pattern=r"^[A-Za-z0-9_.:/-]{1,100}$")
    """Claim that holds the name of a principal. Only `sub` is promised never to be given to another person."""
    oidc_leeway_s: float = Field(default=30.0, ge=0, le=300)

    tools: Path | None = None
    """YAML file of the MCP servers whose tools agents may have; used only where a model is configured."""

    gate_policy: Path | None = None
    """YAML file of the approval policy: which actions need whose yes; the one that ships when absent."""
    switch_release_s: float = Field(default=900.0, ge=60, le=86_400)
    """How long a stop's release that one person asks for waits for a second one."""

    wake_port: int = Field(default=0, ge=0, le=65535)
    """UDP port on loopback where Airflow's scheduler wakes the relay; 0: no wake-ups, the sweep's interval alone."""
    sweep: bool = True
    sweep_interval_s: float = Field(default=1.0, gt=0, le=60)
    sweep_overlap_s: float = Field(default=300.0, ge=60, le=86_400)
    """How far back each window reaches: longer than any transaction of Airflow stays open after its time stamp."""
    sweep_grace_s: float = Field(default=1.0, ge=0, le=60)
    """Rows younger than this are left to the fast lane, so that it does not happen twice."""
    lifecycle_types: Annotated[list[LifecycleType], NoDecode] = Field(default_factory=lambda: list(LifecycleType))
    """Which lifecycle events the sweep publishes, separated by commas; empty: none."""
    lifecycle_dags: Annotated[list[str], NoDecode] = Field(default_factory=lambda: ["*"])
    """Of which DAGs: glob patterns, separated by commas."""
    airflow_approvals: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Desks whose questions to people stand among Airflow's Required Actions, too; `*` for all, empty for none."""
    airflow_approvals_dag: str = Field(default="tradeloop_approval", pattern=r"^[A-Za-z0-9_.-]{1,250}$")
    """The DAG that asks there (tradeloop.airflow.approval_dag)."""
    airflow_identity: Literal["name", "id"] = "name"
    """Which of the two that Airflow records of who answered is the name in the table of people."""

    audit_key_file: Path | None = None
    """Ed25519 key that the relay signs the seals of the audit with; none: they are not signed."""
    audit_public_keys: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Files of public keys that `audit verify` accepts beside that one's: of former keys, after a rotation."""
    audit_seal_s: float = Field(default=3.0, gt=0, le=3600)
    """Time between two seals; what is changed before it is sealed is not found by its seal."""

    clean_interval_s: float = Field(default=300.0, ge=0, le=86_400)
    """Time between two passes of retention, by the relay that holds lane 0; 0: none but `tradeloop db clean`."""
    keep_inbox_days: int = Field(default=90, ge=0, le=36_500)
    """Events as they were received. Here and below, 0 keeps for ever; live runs and open letters always stay."""
    keep_inbox_keys_days: int = Field(default=14, ge=8, le=36_500)
    """The window in which an event that comes again is dropped: longer than Kafka keeps records, or it runs twice."""
    keep_inbox_doubles_days: int = Field(default=14, ge=0, le=36_500)
    keep_captured_days: int = Field(default=3, ge=3, le=36_500)
    """What the sweep has published; it reads back 48 hours every night."""
    keep_runs_days: int = Field(default=2555, ge=0, le=36_500)
    keep_attempts_days: int = Field(default=90, ge=0, le=36_500)
    keep_effects_days: int = Field(default=2555, ge=0, le=36_500)
    """An effect whose row is gone would be carried out again by a replay of its event."""
    keep_approvals_days: int = Field(default=2555, ge=0, le=36_500)
    """Questions to people and their answers; open ones always stay."""
    keep_reservations_days: int = Field(default=7, ge=2, le=36_500)
    """Amounts held against the approval policy's limits of a day or a session."""
    keep_dead_letters_days: int = Field(default=90, ge=3, le=36_500)
    keep_checkpoints_days: int = Field(default=30, ge=0, le=36_500)
    keep_api_triggers_days: int = Field(default=90, ge=8, le=36_500)
    """Idempotency keys of the API, at least as long as `keep_inbox_keys_days`."""
    keep_audit_days: int = Field(default=0, ge=0, le=36_500)
    keep_workers_days: int = Field(default=7, ge=1, le=36_500)
    keep_model_calls_days: int = Field(default=90, ge=2, le=36_500)
    """What was asked of models, without a word of it; a run's budget is counted from these."""

    @property
    def keep_days(self) -> dict[str, int]:
        """Days by table; 0 for ever."""
        names = [name for name in type(self).model_fields if name.startswith("keep_")]
        return {name.removeprefix("keep_").removesuffix("_days"): getattr(self, name) for name in names}

    @field_validator(
        "workflows", "effects", "webhook_hosts", "model", "lifecycle_types", "lifecycle_dags", "reference_stores",
        "audit_public_keys", "airflow_approvals", "web_frame_origins",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(
        "webhooks", "model_key_file", "model_record", "model_replay", "tools", "gate_policy", "encryption_key_file",
        "api_key_file", "oidc_jwks_file", "audit_key_file",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _absent(cls, value: object) -> object:
        return value or None

    @field_validator("database_url", "kafka_bootstrap", "airflow_url", "model_url", "api_url", "oidc_jwks_url")
    @classmethod
    def _address(cls, value: str, field: ValidationInfo) -> str:
        pattern, expected = ADDRESSES[str(field.field_name)]
        if value and not re.fullmatch(pattern, value):
            raise ValueError(f"{expected} is expected")
        return value

    @field_validator("reference_stores")
    @classmethod
    def _stores(cls, value: list[str]) -> list[str]:
        for store in value:
            if not re.fullmatch(STORE, store) or store.startswith("file:"):
                raise ValueError(f"{store!r}: an address such as s3://bucket/folder/ is expected")
        return value

    @field_validator("web_frame_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", origin):
                raise ValueError(f"{origin!r}: an origin such as https://airflow.example.com is expected")
        return value

    def tells_of(self, dag_id: str) -> bool:
        """Whether lifecycle events of the DAG are told; never of the one that shows approvals: it only mirrors them."""
        is_chosen = any(fnmatchcase(dag_id, pattern) for pattern in self.lifecycle_dags)
        return is_chosen and dag_id != self.airflow_approvals_dag

    def require(self, *names: str) -> None:
        """Check that these settings were given.

        Raises:
            SettingInvalid: names the first that is empty.
        """
        for name in names:
            value = getattr(self, name)
            if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
                raise SettingInvalid(
                    f"{PREFIX}{name.upper()} is not set.",
                    hint="tradeloop up starts everything and sets it; or give your own",
                )


@cache
def load_settings() -> Settings:
    """Read the settings once; those of the profile that TRADELOOP_PROFILE names go before all others.

    Raises:
        SettingInvalid: names the variable, what was read and what is expected.
    """
    name = os.environ.get(PROFILE, "")
    given = _lines_of(profile_file(name)) if name else {}
    try:
        # With a profile the folder's own `.env` is not read: half of one system and half of another fits nobody.
        return Settings(_env_file=None if name else ".env", **given)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        variable = PREFIX + str(error["loc"][0]).upper() if error["loc"] else "settings"
        said = error["msg"].removeprefix("Value error, ")
        raise SettingInvalid(
            f"{variable} is {SECRET.sub('***', repr(error['input']))}; {said[:1].lower()}{said[1:]}.",
            where=_origin(variable, profile_file(name) if name else None),
        ) from problem


def profile_file(name: str) -> Path:
    """The file of a profile: `.env.NAME` in this folder, or else `~/.config/tradeloop/NAME.env`.

    Raises:
        SettingInvalid: there is none; the known ones are named.
    """
    known = _profiles()
    if name not in known:
        raise SettingInvalid(
            f"there is no profile {name!r}; known: {', '.join(sorted(known)) or 'none'}.",
            hint=f"write its settings into .env.{name} or {_profiles_folder()}/{name}.env",
        )
    return known[name]


def _profiles() -> dict[str, Path]:
    found = {path.name.removesuffix(".env"): path for path in sorted(_profiles_folder().glob("*.env"))}
    return found | {path.name.removeprefix(".env."): path for path in sorted(Path().glob(".env.*"))}


def _profiles_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "tradeloop"


def _lines_of(path: Path) -> dict[str, Any]:
    values = {name.upper(): value for name, value in dotenv_values(path).items() if value is not None}
    return {
        field: values[PREFIX + field.upper()] for field in Settings.model_fields if PREFIX + field.upper() in values
    }


def _origin(name: str, profile: Path | None) -> str:
    if profile and name in {key.upper() for key in dotenv_values(profile)}:
        return _place(name, profile)
    if name in {key.upper() for key in os.environ}:
        return "read from: the environment"
    if not profile and name in {key.upper() for key in dotenv_values(".env")}:
        return _place(name, Path(".env"))
    return ""


def _place(name: str, path: Path) -> str:
    given = re.compile(rf"\s*(export\s+)?{name}\s*=", re.IGNORECASE)
    numbers = [number for number, line in enumerate(path.read_text().splitlines(), 1) if given.match(line)]
    return f"read from: {path} line {numbers[-1]}" if numbers else f"read from: {path}"
