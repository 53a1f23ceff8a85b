"""Events out of tasks. The standard library alone: this module is imported in every task process.

An event travels as one string inside the asset event's `extra`, which Airflow stores in the transaction that makes the
task a success. A string, because Airflow's REST API rewrites values inside `extra`, by key and by type.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any  # Any: data of the caller's, contexts of Airflow's

if TYPE_CHECKING:
    from airflow.sdk import Asset

ENVELOPE_VERSION = 1
MAX_TOTAL_BYTES = 262_144
"""All events of one task together: Airflow puts no limit on `extra`, and a page of it must stay readable."""
INLINE_LIMIT_BYTES = 65_536
MAX_DEPTH = 62
"""Levels of mappings and lists in the data; the envelope around it makes them the 64 that a worker reads."""
MAX_SUBJECT = 500
MAX_INTEGER_BITS = 12_000
"""Python itself refuses to spell or read an integer of more than 4,300 digits."""
NAMESPACE = uuid.UUID("6ba1ac7e-3f0e-5b2a-9d0e-7261646c6f70")
"""The same as tradeloop.domain.runs.TRADELOOP_NAMESPACE; a test compares them."""
TYPE_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,200}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
NEXT = "fix the value, or give large or foreign data by reference"


class EmitRefused(ValueError):
    """An event cannot be emitted as given: says where, what and what to do."""

    def __init__(self, where: str, what: str, then: str = NEXT) -> None:
        super().__init__(f"emit: {where} {what}; {then}")


def event(event_type: str) -> Asset:
    """The outlet that a task declares to be allowed to emit events of this type.

    A pure constant: it never changes between releases, because two assets of one name with different uris make
    tasks fail.
    """
    from airflow.sdk import Asset

    if not TYPE_PATTERN.fullmatch(event_type):
        raise EmitRefused("event type", f"{event_type!r} is not of letters, digits, '.', '_' and '-'", "rename it")
    return Asset(name=f"tradeloop.{event_type}", uri=f"x-tradeloop://event/{event_type}", group="tradeloop")


def emit(
    outlet_events: Any,
    event_type: str,
    data: Mapping[str, Any] | None = None,
    *,
    subject: str = "",
    correlation_id: uuid.UUID | str | None = None,
    causation_id: uuid.UUID | str | None = None,
) -> str:
    """Attach an event to the running task; it is published when, and only when, the task succeeds.

    `subject` is the business key: events of one subject are decided in order. Several events of one type in one task
    are several events. Decimals and times keep their exact text. In a DAG run that tradeloop started, correlation,
    causation, trace and the chain's length (`metadata.chain_depth`) go on from the decision: the engine stops a chain
    longer than 8, this task is not made to fail for it. Returns the event's id.

    Raises:
        EmitRefused: NaN, infinity, U+0000, a lone surrogate, a naive time, a foreign type, more than 256 KB in all,
            or a type that is not among the task's outlets; nothing was attached.
    """
    from airflow.sdk import get_current_context

    return _attach(
        get_current_context(),
        outlet_events,
        event_type,
        {} if data is None else data,
        subject=subject,
        correlation_id=str(correlation_id or ""),
        causation_id=str(causation_id or ""),
    )


def emit_after(
    event_type: str,
    build: Callable[[Any], Mapping[str, Any]] | None = None,
    *,
    subject: str | Callable[[Any], str] = "",
) -> Callable[[Any, Any], None]:
    """A `post_execute` for classic operators: emits an event once the operator has done its work.

    `build` makes the event's data from the operator's result; without it the event says only that it is done.
    `subject` is a text, or makes one from the result. The operator declares the outlet.
    """

    def post_execute(context: Any, result: Any = None) -> None:
        data = build(result) if build else {}
        about = subject if isinstance(subject, str) else subject(result)
        _attach(context, context["outlet_events"], event_type, data, subject=about)

    return post_execute


def emits(
    event_type: str,
    build: Callable[[Any], Mapping[str, Any]] | None = None,
    *,
    subject: str | Callable[[Any], str] = "",
) -> Callable[[Any], Any]:
    """A decorator above `@task`: what the task returns becomes an event, and goes to the next task as ever.

    It declares the outlet, too. The task returns a mapping or a Pydantic model; `build` makes a mapping of anything
    else, such as the last line that `@task.bash` prints. `subject` is a text, or makes one from what is returned.
    Each instance of a mapped task emits its own event.

    Example:
        >>> @emits("prices.loaded", subject=lambda loaded: loaded["symbol"])  # doctest: +SKIP
        ... @task
        ... def load() -> dict:
        ...     return {"symbol": "SPX", "rows": 21}
    """
    outlet, after = event(event_type), emit_after(event_type, build or _returned, subject=subject)

    def decorate(decorated: Any) -> Any:
        given = getattr(decorated, "kwargs", None)
        if not hasattr(decorated, "override") or not isinstance(given, dict):
            raise EmitRefused("@emits", "is not above a @task", "put it on top; classic operators take emit_after")
        declared, earlier = given.get("outlets") or [], given.get("post_execute")

        def post_execute(context: Any, result: Any = None) -> None:
            if earlier is not None:
                earlier(context, result)
            after(context, result)

        others = list(declared) if isinstance(declared, list | tuple) else [declared]
        return decorated.override(outlets=[*others, outlet], post_execute=post_execute)

    return decorate


def _returned(result: Any) -> Any:
    """A mapping as it is, a Pydantic model as one."""
    return result.model_dump() if hasattr(result, "model_dump") else result


def by_reference(data: Mapping[str, Any], folder: str | Path, limit_bytes: int = INLINE_LIMIT_BYTES) -> dict[str, Any]:
    """The data itself when it is small; else a file in `folder`, named by its sha256, and a reference to it.

    The folder must be one that the workers read (`TRADELOOP_REFERENCE_ROOT`), on every machine under the same path.

    Raises:
        EmitRefused: the data has no exact JSON.
        OSError: the file cannot be written.
    """
    body = _canonical(_exact(data, "data", 0)).encode()
    if len(body) <= limit_bytes:
        return dict(data)
    digest = hashlib.sha256(body).hexdigest()
    path = Path(folder).absolute() / f"{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{digest}.{uuid.uuid4().hex}")
    with scratch.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())  # else a power cut could leave a file of that name and no content
    scratch.replace(path)
    return {"reference": {"uri": path.as_uri(), "sha256": digest, "size_bytes": len(body)}}


def _attach(
    context: Any,
    outlet_events: Any,
    event_type: str,
    data: Mapping[str, Any],
    *,
    subject: str,
    correlation_id: str = "",
    causation_id: str = "",
) -> str:
    asset = event(event_type)
    ti, run = context["ti"], context["dag_run"]
    _check_declared(context, asset, event_type)
    conf = run.conf if isinstance(run.conf, Mapping) else {}
    accessor = outlet_events[asset]
    earlier = _elements(accessor)
    map_index = -1 if ti.map_index is None else ti.map_index
    facts = (_option("instance", "local"), ti.dag_id, ti.run_id, ti.task_id, map_index, ti.id, event_type, len(earlier))
    envelope = _envelope(_derive(*facts), event_type, data, ti, subject)
    _continue_chain(envelope, conf, correlation_id, causation_id)
    element = _element(envelope, str(conf.get("traceparent") or ""))
    _check_total(outlet_events, element["body"])
    # One assignment at the end: whatever was refused above has left nothing behind.
    own = accessor.extra if isinstance(accessor.extra, Mapping) else {}
    accessor.extra = {**own, "tradeloop": ENVELOPE_VERSION, "events": [*earlier, element]}
    return str(envelope["event_id"])


def _elements(accessor: Any) -> list[dict[str, Any]]:
    """The events that this task has attached to the asset before."""
    extra = accessor.extra
    found = extra.get("events") if isinstance(extra, Mapping) and extra.get("tradeloop") == ENVELOPE_VERSION else None
    return list(found) if isinstance(found, list) else []


def _check_total(outlet_events: Any, body: str) -> None:
    bodies = [str(element["body"]) for asset in list(outlet_events) for element in _elements(outlet_events[asset])]
    total = sum(len(text.encode()) for text in [*bodies, body])
    if total > MAX_TOTAL_BYTES:
        raise EmitRefused(
            "the task's events", f"have {total:,} bytes in all, at most {MAX_TOTAL_BYTES:,} are taken",
            "put the data into a file and emit by_reference(data, folder)",
        )  # fmt: skip


def _envelope(event_id: str, event_type: str, data: Mapping[str, Any], ti: Any, subject: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise EmitRefused("data", f"is {type(data).__name__}, a mapping is expected", "wrap it: {'value': ...}")
    return {
        "event_id": event_id,
        "event_type": event_type,
        "timestamp": _utc(datetime.now(UTC)),
        "source": "airflow",
        "workflow_id": ti.dag_id,
        "workflow_run_id": ti.run_id,
        "subject": _subject(subject) or f"{ti.dag_id}/{ti.run_id}"[:MAX_SUBJECT],
        "payload": {"data": _exact(data, "data", 0)},
        "metadata": {
            "environment": _option("environment", "development"),
            "version": "1.0",
            "naive_timestamp": False,
            "task_id": ti.task_id,
            "map_index": ti.map_index,
            "try_number": ti.try_number,
        },
        "schema_version": 2,
    }


def _subject(subject: Any) -> str:
    if not isinstance(subject, str):
        raise EmitRefused("subject", f"is {type(subject).__name__}, a text is expected", "give it as text")
    if len(subject) > MAX_SUBJECT:
        raise EmitRefused("subject", f"has {len(subject):,} characters, at most {MAX_SUBJECT} are taken", "shorten it")
    return _text(subject, "subject")


def _continue_chain(envelope: dict[str, Any], conf: Mapping[str, Any], correlation_id: str, causation_id: str) -> None:
    """An event of a DAG run that tradeloop started follows from its decision."""
    for name, given in (("correlation_id", correlation_id), ("causation_id", causation_id)):
        value = given or str(conf.get(name) or "")
        if not value:
            continue
        try:
            envelope[name] = str(uuid.UUID(value))
        except ValueError:
            if given:
                raise EmitRefused(name, f"{given!r} is no UUID", "leave it out, or give the id of an event") from None
    depth = conf.get("depth")
    if isinstance(depth, int) and not isinstance(depth, bool) and depth > 0:
        envelope["metadata"]["chain_depth"] = depth


def _element(envelope: dict[str, Any], traceparent: str) -> dict[str, Any]:
    body = _canonical(envelope)
    return {
        "id": envelope["event_id"],
        "type": envelope["event_type"],
        "subject": envelope["subject"],
        "time": envelope["timestamp"],
        "source": envelope["source"],
        "sha256": hashlib.sha256(body.encode()).hexdigest(),
        "traceparent": traceparent if TRACEPARENT.fullmatch(traceparent) else "",
        "body": body,
    }  # fmt: skip


def _check_declared(context: Any, asset: Asset, event_type: str) -> None:
    for outlet in getattr(context["task"], "outlets", None) or []:
        # A reference to an asset has a name or a uri, not both.
        if asset.name == getattr(outlet, "name", asset.name) and asset.uri == getattr(outlet, "uri", asset.uri):
            return
    raise EmitRefused(
        "type", f"{event_type!r} is not among the task's outlets, so Airflow would drop it without a word",
        f"declare it: outlets=[event({event_type!r})]",
    )  # fmt: skip


def exact_json(value: Any, where: str) -> Any:
    """The value in JSON's own types, nothing rounded, nothing guessed.

    Raises:
        EmitRefused: names the place of what has no exact JSON.
    """
    return _exact(value, where, 0)


def canonical_text(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return _canonical(value)


def _exact(value: Any, where: str, depth: int) -> Any:
    """The value in JSON's own types, nothing rounded, nothing guessed."""
    if value is None or isinstance(value, bool | int | float):
        return _number(value, where)
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, Mapping | list | tuple) and depth >= MAX_DEPTH:
        raise EmitRefused(where[:200], f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {_key(key, where): _exact(child, f"{where}.{key}", depth + 1) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(child, f"{where}[{index}]", depth + 1) for index, child in enumerate(value)]
    return _spelled(value, where)


def _number(value: bool | float | None, where: str) -> bool | float | None:
    if isinstance(value, float) and not math.isfinite(value):
        raise EmitRefused(where, f"is {value!r}, which JSON does not have", "leave it out, or give None")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and int(value).bit_length() > MAX_INTEGER_BITS:
        raise EmitRefused(where, "is an integer of thousands of digits", "give it as text")
    return float(value) if isinstance(value, float) else int(value)


def _spelled(value: Any, where: str) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise EmitRefused(where, f"is {value!r}, which has no exact text", "leave it out, or give None")
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise EmitRefused(where, "is a time without zone", "give it one: datetime.now(timezone.utc)")
        try:
            return _utc(value)
        except OverflowError:
            raise EmitRefused(where, "is a time that does not exist in UTC") from None
    if isinstance(value, date | uuid.UUID):
        return str(value)
    raise EmitRefused(where, f"is {type(value).__name__}, which has no exact JSON", "convert it to text or numbers")


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise EmitRefused(where, f"has the key {key!r}, which is no text", "use text keys")
    return _text(key, f"a key of {where}")


def _text(text: str, where: str) -> str:
    if "\x00" in text:
        raise EmitRefused(where, "contains U+0000, which no database stores")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EmitRefused(where, "contains a lone surrogate, which has no UTF-8") from None
    return str.__str__(text)  # of an enum of texts: its value, not its name


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _derive(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(str(part) for part in parts)))


def _option(name: str, default: str) -> str:
    """An option of Airflow's section [tradeloop]; the default when it cannot be read: no task fails for it."""
    given = os.environ.get(f"AIRFLOW__TRADELOOP__{name.upper()}")
    if given is not None:
        return given
    try:
        from airflow.sdk.configuration import conf

        return str(conf.get("tradeloop", name, fallback=default))
    except Exception:  # noqa: BLE001 - nothing of ours makes a task fail
        return default
