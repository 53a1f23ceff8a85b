"""tradeloop doctor: checks every part, and says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import FOUND, MEANINGS, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, print_json
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.settings import Settings

EPILOG = epilog(
    "tradeloop doctor",
    "tradeloop doctor airflow --json",
    codes={0: "all well", FOUND: "something is not", UNREACHABLE: MEANINGS[UNREACHABLE]},
)
PARTS = ("settings", "postgres", "kafka", "airflow", "workflows")


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    part: str
    is_well: bool
    words: str
    hint: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(doctor)


def doctor(
    part: Annotated[str, typer.Argument(help="settings, postgres, kafka, airflow, workflows or all.")] = "all",
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
            typer.echo(f"  {'✓' if finding.is_well else '✗'} {finding.part:<10} {finding.words}")
            if finding.hint:
                typer.echo(f"  {'':<12} next: {finding.hint}")
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(FOUND)


def _examine(parts: list[str]) -> list[Finding]:
    from tradeloop.cli.context import stack_settings
    from tradeloop.errors import TradeloopError

    try:
        settings = stack_settings()
    except TradeloopError as problem:
        return [Finding("settings", False, problem.message, problem.where or problem.hint)]
    checks: dict[str, Any] = {
        "settings": _settings,
        "postgres": _postgres,
        "kafka": _kafka,
        "airflow": _airflow,
        "workflows": _workflows,
    }
    findings: list[Finding] = []
    for part in parts:
        try:
            findings += checks[part](settings)
        except TradeloopError as problem:
            findings.append(Finding(part, False, problem.message, problem.hint or "is it running? tradeloop status"))
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
    if found.pending:
        return [
            Finding(
                "postgres", False, f"{found.server}; not applied: {', '.join(found.pending)}", "tradeloop db migrate"
            )
        ]
    return [Finding("postgres", True, f"{found.server}, schema at {found.applied[-1]}")]


def _kafka(settings: Settings) -> list[Finding]:
    from tradeloop.kafka.topics import missing_topics

    settings.require("kafka_bootstrap")
    missing = missing_topics(settings.kafka_bootstrap, settings)
    if missing:
        return [Finding("kafka", False, f"topics are missing: {', '.join(missing)}", "tradeloop topics create")]
    return [Finding("kafka", True, f"answers at {settings.kafka_bootstrap}, all topics exist")]


def _airflow(settings: Settings) -> list[Finding]:
    settings.require("airflow_url")
    return run(_ask_airflow(settings))


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
    return findings


def _workflows(settings: Settings) -> list[Finding]:
    from tradeloop.workflow import load_workflows

    found = load_workflows(settings.workflows)
    return [Finding("workflows", True, ", ".join(f"{name} → {flow.desk}" for name, flow in sorted(found.items())))]
