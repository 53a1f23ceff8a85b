"""The API as commands reach it: its address, the key, and its problems as our own errors."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self  # Any: JSON

import httpx

from tradeloop import errors
from tradeloop.cli.output import OUTPUT, note

URL: Final = r"https?://[^/\s@]+/?"
TIMEOUT_S: Final = 35.0
"""Longer than the longest long poll."""
PREFIX: Final = "/api/v1/"
KINDS: Final[Mapping[str, type[errors.TradeloopError]]] = {
    "unauthenticated": errors.Unauthenticated,
    "forbidden": errors.Forbidden,
    "csrf": errors.Forbidden,
    "origin": errors.Forbidden,
    "not_found": errors.NotFound,
    "no_such_route": errors.NotFound,
    "settled": errors.Settled,
    "answer_forbidden": errors.AnswerForbidden,
    "answer_too_late": errors.AnswerTooLate,
    "answer_stale": errors.AnswerStale,
    "answer_refused": errors.AnswerRefused,
    "release_refused": errors.ReleaseRefused,
    "changed": errors.AnswerStale,
    "gate_closed": errors.GateClosed,
    "unreachable": errors.PartUnreachable,
    "setting_invalid": errors.PartUnreachable,
    "too_many": errors.PartUnreachable,
    "not_sealed": errors.PartUnreachable,
}
"""By code: the error that a command ends with; what is not here is a wrong word of the caller's."""


class Reply(dict[str, Any]):
    """A JSON object with the ETag that came with it."""

    etag: str = ""


class Remote:
    """Calls the API with a key. Use it as a context.

    Every call raises the error that the API's problem stands for: Unauthenticated, Forbidden, NotFound, Settled,
    AnswerRefused and its kinds, UsageInvalid, PartUnreachable.
    """

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url + PREFIX,
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            timeout=TIMEOUT_S,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Reply:
        """Read; what is None in the query is left out."""
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any], *, etag: str = "", idempotency_key: str = "") -> Reply:
        """Send an order. `etag`: of what was read before (If-Match)."""
        headers = {"If-Match": etag} if etag else {}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        return self._call("POST", path, json=dict(body), headers=headers)

    def download(self, path: str) -> bytes:
        """Read bytes."""
        return self._answered("GET", path).content

    def every(self, path: str, most: int, **query: Any) -> list[dict[str, Any]]:
        """Rows of a list, over its pages, at most so many."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(rows) < most:
            found = self.get(path, limit=min(200, most - len(rows)), cursor=cursor, **query)
            rows += found["items"]
            cursor = found["next"]
            if not cursor:
                break
        return rows

    def _call(self, method: str, path: str, **more: Any) -> Reply:
        answer = self._answered(method, path, **more)
        try:
            reply = Reply(answer.json())
        except ValueError as problem:
            raise errors.PartUnreachable(f"{self.url} answers, but is no API of tradeloop.") from problem
        reply.etag = answer.headers.get("etag", "")
        return reply

    def _answered(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.HTTPError as problem:
            raise errors.PartUnreachable(
                f"the API at {self.url} did not answer: {type(problem).__name__}.", hint="tradeloop status"
            ) from problem
        if answer.status_code >= 400:
            raise _error(answer)
        return answer


def _error(answer: httpx.Response) -> errors.TradeloopError:
    try:
        told = answer.json()
        code, detail = str(told["code"]), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        return errors.PartUnreachable(f"the API answered {answer.status_code}, without saying why.")
    kind = KINDS.get(code, errors.PartUnreachable if answer.status_code >= 500 else errors.UsageInvalid)
    if code == "answer_invalid":
        return errors.AnswerInvalid(detail, field=str(told.get("field") or ""), hint=str(told.get("hint") or ""))
    allowed = told.get("allowed")
    hint = str(told.get("hint") or "") or (f"allowed: {', '.join(map(str, allowed))}" if allowed else "")
    return kind(detail, hint=hint)


def open_remote() -> Remote:
    """The API of `--api`, TRADELOOP_API_URL or the local stack, with the key of TRADELOOP_API_KEY_FILE or `login`.

    Raises:
        SettingInvalid: no address is set, or the file of the key cannot be read.
        Unauthenticated: there is no key.
    """
    url = url_of()
    return Remote(url, _key_for(url))


def url_of() -> str:
    """The address of the API.

    Raises:
        SettingInvalid: none is set, and no local stack runs.
    """
    from tradeloop.cli.context import stack_settings

    url = OUTPUT.api or stack_settings().api_url
    if not url:
        raise errors.SettingInvalid(
            "no address of the API is set.", hint="--api URL, TRADELOOP_API_URL, or tradeloop up"
        )
    if not re.fullmatch(URL, url):
        raise errors.UsageInvalid(f"--api is {url!r}; http://HOST:PORT or https://HOST is expected.")
    return url.rstrip("/")


def _key_for(url: str) -> str:
    from tradeloop.cli.context import stack_settings

    settings = stack_settings()
    path = settings.api_key_file
    if path is None:
        kept = _kept().get(url) or _local_key(settings.home, url)
        if not kept:
            raise errors.Unauthenticated(
                f"there is no key for {url}.", hint="tradeloop login, or TRADELOOP_API_KEY_FILE names a file with it"
            )
        return str(kept)
    try:
        key = path.expanduser().read_text().strip()
    except (OSError, ValueError) as problem:
        raise errors.SettingInvalid(f"the key in {path} cannot be read.", where="TRADELOOP_API_KEY_FILE") from problem
    if not key or not key.isascii() or not key.isprintable():
        raise errors.SettingInvalid(f"{path} holds no key.", where="TRADELOOP_API_KEY_FILE")
    return key


def _local_key(home: Path, url: str) -> str:
    """On a stack of this machine: the key of the first of its two people; empty elsewhere."""
    from tradeloop.stack import addresses
    from tradeloop.stack.people import PEOPLE, folder_of

    path = folder_of(home) / f"{PEOPLE[0].name}.key"
    if addresses(home).get("api_url", "").rstrip("/") != url or not path.exists():
        return ""
    other = folder_of(home) / f"{PEOPLE[1].name}.key"
    note(f"as {PEOPLE[0].name}, of the local stack (as {PEOPLE[1].name}: TRADELOOP_API_KEY_FILE={other})")
    return path.read_text().strip()


def keep(url: str, key: str) -> Path:
    """Keep a key for an address, for its owner alone; returns the file."""
    return _write(_kept() | {url: key})


def forget(url: str) -> bool:
    """Forget the key of an address; False when there is none."""
    kept = _kept()
    if url not in kept:
        return False
    _write({other: key for other, key in kept.items() if other != url})
    return True


def _file() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "tradeloop" / "keys.json"


def _kept() -> dict[str, Any]:
    try:
        found = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(keys: Mapping[str, Any]) -> Path:
    path = _file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(dict(keys), file, indent=2)
    beside.replace(path)
    return path


def idempotency_key(*parts: str) -> str:
    """A key that is the same for the same words: a command that is repeated after a lost answer orders once."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
