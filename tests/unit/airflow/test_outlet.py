"""What `emit` attaches, what it refuses, and that its rules are those of the rest of the package."""

from __future__ import annotations

import enum
import hashlib
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outlets import TASK_INSTANCE, attach, context_of, elements

from tradeloop import WorkflowEvent
from tradeloop.airflow import EmitRefused, by_reference, emit_after, event, outlet
from tradeloop.domain import runs
from tradeloop.domain.canonical import canonical_json
from tradeloop.domain.events import MAX_DEPTH
from tradeloop.domain.runs import derive_id

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**200), max_value=2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=8), inner, max_size=4
        )
    ),
    max_leaves=20,
)


class Side(str, enum.Enum):  # noqa: UP042 - its str() is its name, unlike a StrEnum's
    BUY = "buy"


def test_event_is_a_constant_that_no_release_changes() -> None:
    asset = event("marketdata.batch.loaded")

    assert (asset.name, asset.uri, asset.group) == (
        "tradeloop.marketdata.batch.loaded",
        "x-tradeloop://event/marketdata.batch.loaded",
        "tradeloop",
    )


@pytest.mark.parametrize("event_type", ["", "two words", "a/b", "ü", "x" * 201])
def test_a_type_that_no_event_can_have_is_refused(event_type: str) -> None:
    with pytest.raises(EmitRefused, match="event type"):
        event(event_type)


@settings(max_examples=200, deadline=None)
@given(data=st.dictionaries(st.text(st.characters(categories=("L", "N"))), PLAIN, max_size=5))
def test_the_body_is_byte_for_byte_what_a_workflow_event_spells(data: dict[str, Any]) -> None:
    context = context_of("prices.loaded")

    attach(context, "prices.loaded", data, subject="SPX/2009-07")

    (element,) = elements(context, "prices.loaded")
    told = WorkflowEvent.from_json(element["body"])
    assert told.to_json() == element["body"]
    assert canonical_json(told.payload.data) == canonical_json(data)
    assert element["sha256"] == hashlib.sha256(element["body"].encode()).hexdigest()


def test_every_field_of_the_envelope_is_filled() -> None:
    context = context_of("prices.loaded")

    attach(context, "prices.loaded", {"rows": 22}, subject="SPX/2009-07")

    (element,) = elements(context, "prices.loaded")
    told = WorkflowEvent.from_json(element["body"])
    metadata = told.metadata.model_dump()
    assert (told.event_type, told.source, told.subject) == ("prices.loaded", "airflow", "SPX/2009-07")
    assert (told.workflow_id, told.workflow_run_id, told.schema_version) == ("load", "manual__1", 2)
    assert (metadata["environment"], metadata["version"], metadata["naive_timestamp"]) == ("development", "1.0", False)
    assert (metadata["task_id"], metadata["map_index"], metadata["try_number"]) == ("publish", -1, 1)
    assert (told.correlation_id, told.causation_id) == (None, None)
    assert [element[name] for name in ("id", "type", "subject", "source")] == [
        str(told.event_id),
        "prices.loaded",
        "SPX/2009-07",
        "airflow",
    ]
    assert datetime.fromisoformat(element["time"]) == told.timestamp


def test_ids_follow_the_rule_of_the_rest_of_the_package() -> None:
    context = context_of("prices.loaded")

    attach(context, "prices.loaded", {})
    attach(context, "prices.loaded", {})

    facts = ("local", "load", "manual__1", "publish", -1, TASK_INSTANCE, "prices.loaded")
    assert outlet.NAMESPACE == runs.TRADELOOP_NAMESPACE
    assert [UUID(element["id"]) for element in elements(context, "prices.loaded")] == [
        derive_id(*facts, 0),
        derive_id(*facts, 1),
    ]


def test_another_attempt_has_another_id() -> None:
    first, second = context_of("prices.loaded"), context_of("prices.loaded", ti_id=UUID(int=7))

    attach(first, "prices.loaded", {})
    attach(second, "prices.loaded", {})

    assert elements(first, "prices.loaded")[0]["id"] != elements(second, "prices.loaded")[0]["id"]


def test_the_instance_of_the_configuration_is_part_of_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRADELOOP__INSTANCE", "fra-1")
    context = context_of("prices.loaded")

    attach(context, "prices.loaded", {})

    facts = ("fra-1", "load", "manual__1", "publish", -1, TASK_INSTANCE, "prices.loaded", 0)
    assert elements(context, "prices.loaded")[0]["id"] == str(derive_id(*facts))


def test_without_a_subject_the_dag_run_is_the_subject() -> None:
    context = context_of("prices.loaded")

    attach(context, "prices.loaded", {})

    assert elements(context, "prices.loaded")[0]["subject"] == "load/manual__1"


def test_an_event_of_a_run_that_a_decision_started_follows_from_it() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    conf = {"correlation_id": str(UUID(int=1)), "causation_id": str(UUID(int=2)), "traceparent": trace, "depth": 9}
    context = context_of("prices.loaded", conf=conf)

    attach(context, "prices.loaded", {})

    (element,) = elements(context, "prices.loaded")
    told = WorkflowEvent.from_json(element["body"])
    assert (told.correlation_id, told.causation_id) == (UUID(int=1), UUID(int=2))
    assert element["traceparent"] == trace
    assert told.metadata.model_dump()["chain_depth"] == 9


@pytest.mark.parametrize(
    "conf", [None, [1], {"correlation_id": "x", "causation_id": 7, "traceparent": "abc\n", "depth": "deep"}]
)
def test_a_conf_that_others_wrote_makes_no_task_fail(conf: Any) -> None:
    context = context_of("prices.loaded", conf=conf)

    attach(context, "prices.loaded", {})

    (element,) = elements(context, "prices.loaded")
    assert element["traceparent"] == ""
    assert "correlation_id" not in element["body"]


def test_exact_values_are_spelled_as_text() -> None:
    context = context_of("prices.loaded")
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))

    attach(
        context,
        "prices.loaded",
        {
            "price": Decimal("1.10"),
            "at": moment,
            "day": date(2026, 1, 2),
            "id": UUID(int=3),
            "side": Side.BUY,
            "t": (1,),
        },
    )

    told = WorkflowEvent.from_json(elements(context, "prices.loaded")[0]["body"])
    assert told.payload.data == {
        "price": "1.10",
        "at": "2026-01-02T01:04:05.000006Z",
        "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000003",
        "side": "buy",
        "t": [1],
    }


def nested(levels: int) -> dict[str, Any]:
    """Mappings in mappings, each with a number beside."""
    data: dict[str, Any] = {"n": 1}
    for _ in range(levels - 1):
        data = {"d": data, "n": 1}
    return data


REFUSED = {
    "nan": ({"a": [{"b": float("nan")}]}, r"data\.a\[0\]\.b is nan"),
    "infinity": ({"a": float("-inf")}, r"data\.a is -inf"),
    "decimal nan": ({"a": Decimal("sNaN")}, r"data\.a is Decimal"),
    "naive time": ({"a": datetime(2026, 1, 1)}, r"data\.a is a time without zone"),
    "time that does not exist": (
        {"a": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))},
        r"data\.a is a time that does not exist",
    ),
    "nul": ({"a": "x\x00"}, r"data\.a contains U\+0000"),
    "nul in a key": ({"a": {"x\x00": 1}}, r"a key of data\.a contains U\+0000"),
    "lone surrogate": ({"a": "\ud800"}, r"data\.a contains a lone surrogate"),
    "key": ({"a": {1: 2}}, r"data\.a has the key 1"),
    "type": ({"a": {1, 2}}, r"data\.a is set"),
    "bytes": ({"a": b"x"}, r"data\.a is bytes"),
    "object": ({"a": object()}, r"data\.a is object"),
    "huge integer": ({"a": 10**5000}, r"data\.a is an integer of thousands of digits"),
    "depth": (nested(63), "is nested deeper than 62 levels"),
    "list": ([1], "data is list, a mapping is expected"),
    "large": ({"a": "x" * 262_144}, "bytes in all, at most 262,144"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_json_is_refused_before_anything_is_attached(name: str) -> None:
    data, said = REFUSED[name]
    context = context_of("prices.loaded")

    with pytest.raises(EmitRefused, match=said) as refusal:
        attach(context, "prices.loaded", data)

    assert "\n" not in str(refusal.value)
    assert ";" in str(refusal.value), "a refusal says what to do"
    assert context["outlet_events"][event("prices.loaded")].extra == {}


@settings(max_examples=100, deadline=None)
@given(
    path=st.lists(st.sampled_from(["key", "list"]), max_size=6),
    bad=st.sampled_from([float("nan"), "\x00", "\udfff", object(), {1: 1}, datetime(2026, 1, 1)]),
)
def test_a_bad_value_is_found_wherever_it_hides(path: list[str], bad: Any) -> None:
    context = context_of("prices.loaded")
    data: Any = bad
    for step in path:
        data = {"k": data} if step == "key" else [data]

    with pytest.raises(EmitRefused):
        attach(context, "prices.loaded", {"root": data})

    assert context["outlet_events"][event("prices.loaded")].extra == {}


def test_the_deepest_data_that_emit_takes_is_read_by_the_worker() -> None:
    context = context_of("prices.loaded")

    attach(context, "prices.loaded", nested(MAX_DEPTH - 2))

    assert WorkflowEvent.from_json(elements(context, "prices.loaded")[0]["body"])


def test_the_limit_counts_all_events_of_the_task() -> None:
    context = context_of("prices.loaded", "prices.checked")
    attach(context, "prices.loaded", {"a": "x" * 130_000})
    attach(context, "prices.checked", {"a": "x" * 130_000})

    with pytest.raises(EmitRefused, match="bytes in all"):
        attach(context, "prices.loaded", {"a": "x" * 10_000})

    assert len(elements(context, "prices.loaded")) == 1


def test_an_event_that_the_task_does_not_declare_is_refused() -> None:
    context = context_of("prices.loaded")

    with pytest.raises(EmitRefused, match=r"declare it: outlets=\[event\('prices.checked'\)\]"):
        attach(context, "prices.checked", {})

    assert len(context["outlet_events"]) == 0


def test_an_outlet_of_the_same_name_with_another_uri_is_not_ours() -> None:
    from airflow.sdk import Asset

    context = context_of(outlets=[Asset(name="tradeloop.prices.loaded", uri="s3://elsewhere/x")])

    with pytest.raises(EmitRefused, match="not among the task's outlets"):
        attach(context, "prices.loaded", {})


def test_a_subject_longer_than_an_event_takes_is_refused() -> None:
    context = context_of("prices.loaded")

    with pytest.raises(EmitRefused, match="subject has 501 characters"):
        attach(context, "prices.loaded", {}, subject="x" * 501)


def test_what_others_wrote_into_the_extra_stays() -> None:
    context = context_of("prices.loaded")
    context["outlet_events"][event("prices.loaded")].extra = {"rows": 5, "events": "theirs"}

    attach(context, "prices.loaded", {})

    extra = context["outlet_events"][event("prices.loaded")].extra
    assert extra["rows"] == 5
    assert len(extra["events"]) == 1


def test_a_classic_operator_without_a_builder_says_that_it_is_done() -> None:
    context = context_of("prices.loaded")

    emit_after("prices.loaded")(context, "anything")

    assert WorkflowEvent.from_json(elements(context, "prices.loaded")[0]["body"]).payload.data == {}


def test_small_data_stays_in_the_event(tmp_path: Path) -> None:
    data = {"price": Decimal("1.10")}

    assert by_reference(data, tmp_path) == data
    assert list(tmp_path.iterdir()) == []


def test_large_data_goes_into_a_file_that_its_digest_names(tmp_path: Path) -> None:
    data = {"rows": ["é" * 10] * 10_000}

    told = by_reference(data, tmp_path / "batches")["reference"]

    (file,) = (tmp_path / "batches").iterdir()
    content = file.read_bytes()
    assert content == canonical_json(data).encode()
    assert told == {"uri": file.as_uri(), "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    assert file.stem == told["sha256"]


def test_data_of_exactly_the_limit_is_small(tmp_path: Path) -> None:
    data = {"a": "x" * 92}

    assert by_reference(data, tmp_path, limit_bytes=100) == data
    assert "reference" in by_reference(data, tmp_path, limit_bytes=99)


def test_importing_the_edge_loads_nothing_but_itself_and_the_standard_library() -> None:
    look = (
        "import sys; before = set(sys.modules); import tradeloop.airflow;"
        "print(*sorted({n.partition('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names)));"
        "print(*sorted(n for n in sys.modules if n.startswith('tradeloop')))"
    )

    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout

    assert said.splitlines() == ["tradeloop", "tradeloop tradeloop.airflow tradeloop.airflow.outlet"]


def test_importing_the_edge_where_airflow_is_loaded_takes_less_than_5_ms() -> None:
    look = (
        "import airflow.sdk.execution_time.context, sys, time; begun = time.perf_counter_ns();"
        "import tradeloop.airflow; print(time.perf_counter_ns() - begun)"
    )

    took_ns = [
        int(subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]

    assert min(took_ns) < 5_000_000
