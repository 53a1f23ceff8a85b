"""tradeloop doctor: checks every part, and says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tradeloop.cli.endings import FOUND, MEANINGS, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, print_json, printable
from tradeloop.cli.waiting import call

if TYPE_CHECKING:
    from tradeloop.airflow.client import AirflowClient
    from tradeloop.settings import Settings
    from tradeloop.store.condition import Condition

EPILOG = epilog(
    "tradeloop doctor",
    "tradeloop doctor airflow --json",
    codes={0: "all well", FOUND: "something is not", UNREACHABLE: MEANINGS[UNREACHABLE]},
)
PARTS = ("settings", "postgres", "kafka", "airflow", "processes", "api", "workflows", "models", "machine")

LANES: Final = 16
LATE_S: Final = 60.0
"""An outbox row or a sweep's cursor this old is a fault, not a busy moment: both move every second."""
SKEW_S: Final = 2.0
"""Leases and windows are reckoned by the database's clock; more than this makes the times in tables puzzling."""
FREE_BYTES: Final = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    part: str
    is_well: bool
    words: str
    hint: str = ""
    is_unreachable: bool = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(doctor)


def doctor(
    part: Annotated[str, typer.Argument(help=f"{', '.join(PARTS)} or all.")] = "all",
    as_json: JsonFlag = False,
) -> None:
    """Check every part that tradeloop needs: does it answer, is it new enough, may we do what we must."""
    if part != "all" and part not in PARTS:
        raise typer.BadParameter(f"{part!r} is unknown; {', '.join(PARTS)} or all is expected")
    findings = _examine([part] if part != "all" else list(PARTS))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"  {'✓' if finding.is_well else '✗'} {finding.part:<10} {printable(finding.words)}")
            if finding.hint:
                typer.echo(f"  {'':<12} next: {finding.hint}")
    if any(finding.is_unreachable for finding in findings):
        raise typer.Exit(UNREACHABLE)
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(FOUND)


def _examine(parts: list[str]) -> list[Finding]:
    from tradeloop.cli.context import stack_settings
    from tradeloop.errors import PartUnreachable, TradeloopError

    try:
        settings = stack_settings()
    except TradeloopError as problem:
        return [Finding("settings", False, problem.message, problem.where or problem.hint)]
    checks: dict[str, Callable[[Settings], list[Finding]]] = {
        "settings": _settings,
        "postgres": _postgres,
        "kafka": _kafka,
        "airflow": _airflow,
        "processes": _processes,
        "api": _api,
        "workflows": _workflows,
        "models": _models,
        "machine": _machine,
    }
    findings: list[Finding] = []
    for part in parts:
        try:
            findings += call(partial(checks[part], settings), part, bound_s=30)
        except TradeloopError as problem:
            hint = problem.hint if "doctor" not in problem.hint else ""
            is_away = isinstance(problem, PartUnreachable)
            findings.append(Finding(part, False, problem.message, hint or "is it running? tradeloop status", is_away))
    return findings


def _settings(settings: Settings) -> list[Finding]:
    named = {
        "database_url": settings.database_url,
        "kafka_bootstrap": settings.kafka_bootstrap,
        "airflow_url": settings.airflow_url,
    }
    missing = [f"TRADELOOP_{name.upper()}" for name, value in named.items() if not value]
    if missing:
        return [Finding("settings", False, f"not set, and no local stack runs: {', '.join(missing)}", "tradeloop up")]
    return [Finding("settings", True, f"instance {settings.instance}, environment {settings.environment}")]


def _postgres(settings: Settings) -> list[Finding]:
    from tradeloop.store.migrations import status

    settings.require("database_url")
    found = status(settings.database_url)
    if found.refusal:
        return [Finding("postgres", False, f"{found.server}: {found.refusal}", "run the release that fits it")]
    if found.pending:
        return [
            Finding(
                "postgres", False, f"{found.server}; not applied: {', '.join(found.pending)}", "tradeloop db migrate"
            )
        ]
    return [Finding("postgres", True, f"{found.server}, schema at {found.applied[-1]}")]


def _kafka(settings: Settings) -> list[Finding]:
    from tradeloop.kafka.topics import topic_faults

    settings.require("kafka_bootstrap")
    found = topic_faults(settings.kafka_bootstrap, settings)
    wrong = [f"{name}: {', '.join(faults)}" for name, faults in found.items() if faults]
    if wrong:
        return [Finding("kafka", False, "; ".join(wrong), "tradeloop topics create, then tradeloop topics check")]
    return [Finding("kafka", True, f"answers at {settings.kafka_bootstrap}; {len(found)} topics, as they should be")]


def _airflow(settings: Settings) -> list[Finding]:
    settings.require("airflow_url")
    import asyncio

    return asyncio.run(_ask_airflow(settings))


async def _ask_airflow(settings: Settings) -> list[Finding]:
    from tradeloop.airflow.client import AirflowClient
    from tradeloop.errors import TradeloopError

    async with AirflowClient.from_settings(settings) as airflow:
        missing = await airflow.missing_permissions()
        dags = await airflow.visible_dags()
        findings = [
            Finding("airflow", not missing, f"answers at {settings.airflow_url}; account {settings.airflow_username}")
        ]
        if missing:
            findings = [
                Finding(
                    "airflow", False, f"the account may not {', '.join(missing)}", "give its role these permissions"
                )
            ]
        words = f"{len(dags)} DAGs visible: {', '.join(dags[:8])}{' …' if len(dags) > 8 else ''}"
        hint = "" if dags else "Airflow hides DAGs that the account cannot read, without an error"
        findings.append(Finding("airflow", bool(dags), words, hint))
        try:
            lane = await airflow.fast_lane()
        except TradeloopError:
            lane = {"fast_lane": "off: the plugin is not installed in Airflow, or its page is forbidden"}
        state = str(lane.get("fast_lane"))
        hint = (
            ""
            if state == "on"
            else "[tradeloop] kafka_bootstrap in Airflow's configuration; until then the sweep brings all"
        )
        findings.append(Finding("airflow", True, f"fast lane {state}", hint))
        if settings.airflow_approvals:
            findings.append(await _required_actions(settings, airflow))
    return findings


async def _required_actions(settings: Settings, airflow: AirflowClient) -> Finding:
    from tradeloop.airflow.required_actions import AirflowRequiredActions

    dag_id = settings.airflow_approvals_dag
    if trouble := await AirflowRequiredActions(airflow, dag_id).trouble():
        hint = (
            "dags/tradeloop_approval.py in Airflow's DAG folder, unpaused; the account reads and answers its questions"
        )
        return Finding("airflow", False, f"Required Actions: {trouble}", hint)
    return Finding("airflow", True, f"Required Actions: DAG {dag_id} is ready, and the account reads and answers")


def _processes(settings: Settings) -> list[Finding]:
    import asyncio

    found = asyncio.run(_condition(settings))
    lag = f"{found.outbox_rows} rows wait, the oldest {found.outbox_age_s:.0f} s"
    findings = [
        Finding("processes", found.workers > 0, f"{found.workers} workers alive, {found.live_runs} runs live",
                "" if found.workers else "tradeloop worker, or tradeloop up"),
        Finding("processes", found.lanes_held == LANES, f"{found.lanes_held} of {LANES} outbox lanes held by a relay",
                "" if found.lanes_held == LANES else "tradeloop relay, or tradeloop up"),
        Finding("processes", found.outbox_age_s < LATE_S, f"outbox: {lag}",
                "" if found.outbox_age_s < LATE_S else "is Kafka well? tradeloop doctor kafka; then the relay's log"),
        Finding("postgres", found.may_write, "the account may read and write" if found.may_write else "the account may "
                "not write", "" if found.may_write else "grant it INSERT, UPDATE and DELETE in schema tradeloop"),
        Finding("machine", abs(found.clock_skew_s) < SKEW_S, f"clock {found.clock_skew_s:+.3f} s beside PostgreSQL's",
                "" if abs(found.clock_skew_s) < SKEW_S else "set this machine's clock, by NTP"),
    ]  # fmt: skip
    if settings.sweep:
        is_young = found.sweep_age_s is not None and found.sweep_age_s < LATE_S
        words = "never moved" if found.sweep_age_s is None else f"moved {found.sweep_age_s:.0f} s ago"
        hint = "" if is_young else "does Airflow answer? tradeloop doctor airflow; then the relay's log"
        findings.append(Finding("processes", is_young, f"sweep's cursor {words}", hint))
    return findings


async def _condition(settings: Settings) -> Condition:
    from tradeloop.airflow.sweep import CURSOR
    from tradeloop.cli.context import open_database
    from tradeloop.store.condition import condition_of

    async with open_database(settings) as database:
        return await condition_of(database, CURSOR)


def _api(settings: Settings) -> list[Finding]:
    import httpx

    if not settings.api_url:
        return [Finding("api", True, "no API is set: TRADELOOP_API_URL is empty, and no local stack runs")]
    try:
        answer = httpx.get(f"{settings.api_url.rstrip('/')}/readyz", timeout=5)
        found = answer.json()
        status, database = str(found["status"]), str(found["database"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        words = f"no API of tradeloop answers at {settings.api_url}"
        return [Finding("api", False, words, "tradeloop api, or tradeloop up", is_unreachable=True)]
    hint = {"away": "tradeloop doctor postgres", "other_schema": "tradeloop db migrate"}.get(database, "")
    return [Finding("api", status == "ok", f"answers at {settings.api_url}; database {database}", hint)]


def _machine(settings: Settings) -> list[Finding]:
    import shutil

    folder = settings.home if settings.home.exists() else Path()
    free = shutil.disk_usage(folder).free
    hint = "" if free >= FREE_BYTES else "make room, or set TRADELOOP_HOME to another disk"
    return [Finding("machine", free >= FREE_BYTES, f"{free / 1e9:,.1f} GB free where {folder} is", hint)]


def _workflows(settings: Settings) -> list[Finding]:
    from tradeloop.workflow import load_workflows

    found = load_workflows(settings.workflows)
    return [Finding("workflows", True, ", ".join(f"{name} → {flow.desk}" for name, flow in sorted(found.items())))]


def _models(settings: Settings) -> list[Finding]:
    import asyncio

    from tradeloop.llm.chain import chain_of
    from tradeloop.llm.opening import manner_of
    from tradeloop.llm.reach import reach_of

    links = chain_of(settings)
    manner_of(settings)
    if not links:
        return [Finding("models", True, "no model is configured: policy decides alone")]
    if settings.model_replay:
        return [Finding("models", True, f"{', '.join(map(str, links))}, played from {settings.model_replay}")]

    async def reached() -> list[Finding]:
        found = [await reach_of(link) for link in links]
        hint = "policy decides meanwhile; is the server up, is the name right? then tradeloop models check"
        return [Finding("models", one.has_model, one.words, "" if one.has_model else hint) for one in found]

    return asyncio.run(reached())
