"""Where webhooks may go: targets that an operator names in a file, on hosts that an operator allows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final  # Any: YAML
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from tradeloop.errors import SettingInvalid

FILE: Final = "TRADELOOP_WEBHOOKS"
HOSTS: Final = "TRADELOOP_WEBHOOK_HOSTS"


class WebhookTarget(BaseModel):
    """One place that a webhook may be posted to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1, max_length=250)
    url: str
    secret: SecretStr
    """Signs every call; the receiver has the same."""
    honours_key: bool = False
    """Whether the target drops a second call of the same Idempotency-Key: only then a call is ever repeated."""
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    """For the whole call; at most what the ledger gives a caller."""


def load_targets(file: Path | None, hosts: Collection[str], default_secret: SecretStr) -> dict[str, WebhookTarget]:
    """The targets by name; none without a file.

    The file is YAML: `name: {url, secret_file, honours_key, timeout_s}`; without `secret_file` the default secret.

    Raises:
        SettingInvalid: names the variable, the target and the field.
    """
    if file is None:
        return {}
    try:
        raw = yaml.safe_load(file.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingInvalid(f"{FILE}: {file} cannot be read: {problem}") from problem
    if not isinstance(raw, dict):
        raise SettingInvalid(f"{FILE}: {file} holds {type(raw).__name__}; a mapping of names is expected")
    return {str(name): _target(str(name), given, hosts, default_secret, file) for name, given in raw.items()}


def _target(name: str, given: Any, hosts: Collection[str], default_secret: SecretStr, file: Path) -> WebhookTarget:
    where = f"read from: {file}, target {name}"
    if not isinstance(given, dict):
        raise SettingInvalid(f"{FILE}: {name} is {given!r}; url and more are expected", where=where)
    fields = dict(given)
    secret = _secret(name, fields.pop("secret_file", None), default_secret, where)
    try:
        target = WebhookTarget.model_validate({**fields, "name": name, "secret": secret})
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in error["loc"])
        raise SettingInvalid(f"{FILE}: {name}.{field}: {error['msg']}", where=where) from problem
    _check_url(target, hosts, where)
    return target


def _check_url(target: WebhookTarget, hosts: Collection[str], where: str) -> None:
    try:
        parts = urlsplit(target.url)
        host, port = parts.hostname or "", parts.port
    except ValueError as problem:
        raise SettingInvalid(f"{FILE}: {target.name}.url: {problem}", where=where) from problem
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise SettingInvalid(f"{FILE}: {target.name}.url must be http(s)://HOST/PATH without a user", where=where)
    allowed = {name.strip().lower() for name in hosts}
    if host.lower() not in allowed and f"{host}:{port}".lower() not in allowed:
        raise SettingInvalid(
            f"{FILE}: {target.name} posts to {host}, which {HOSTS} does not allow", where=where, hint=f"{HOSTS}={host}"
        )


def _secret(name: str, file: Any, default: SecretStr, where: str) -> str:
    if file is None:
        secret = default.get_secret_value()
    else:
        try:
            secret = Path(str(file)).read_text().strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingInvalid(f"{FILE}: {name}.secret_file cannot be read: {problem}", where=where) from problem
    if not secret:
        raise SettingInvalid(
            f"{FILE}: {name} has no secret", where=where, hint="secret_file in the file, or TRADELOOP_WEBHOOK_SECRET"
        )
    return secret
