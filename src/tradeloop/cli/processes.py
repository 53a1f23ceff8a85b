"""tradeloop relay, tradeloop worker: the long-running processes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import typer

from tradeloop.cli.endings import epilog

if TYPE_CHECKING:
    import asyncio

    from tradeloop.airflow.ballots import Ballots
    from tradeloop.airflow.client import AirflowClient
    from tradeloop.effects.effector import Effector
    from tradeloop.effects.webhook import Webhooks
    from tradeloop.settings import Settings
    from tradeloop.store.database import Database

CODES = {
    0: "ended by SIGTERM or Ctrl-C, after the drain",
    1: "broken off by a failure; the log says which",
}
WORKER = epilog("tradeloop worker", "TRADELOOP_CONCURRENCY=8 TRADELOOP_LOG_FORMAT=json tradeloop worker", codes=CODES)
RELAY = epilog("tradeloop relay", "TRADELOOP_SWEEP=false tradeloop relay", codes=CODES)
GARBAGE: Final = 20_000
"""New objects before the youngest are looked through; the default, 700, is reached several times in each run."""
LEAVE_AFTER_S: Final = 5.0
"""After the drain: connections close within this, and longer only keeps a supervisor waiting."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=WORKER)(worker)
    app.command(epilog=RELAY)(relay)


def worker() -> None:
    """Take events in, run their graphs, record decisions; until SIGTERM, which drains."""
    from tradeloop.cli.context import stack_settings

    settings = stack_settings()
    settings.require("database_url", "kafka_bootstrap")
    serve(settings, lambda stop: _worker(settings, stop))


def relay() -> None:
    """Publish the outbox, sweep Airflow's history; until SIGTERM."""
    from tradeloop.cli.context import stack_settings

    settings = stack_settings()
    settings.require("database_url", "kafka_bootstrap")
    serve(settings, lambda stop: _relay(settings, stop))


def serve(settings: Settings, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a process's work until SIGTERM or Ctrl-C, with its logs as the settings say."""
    import asyncio

    from tradeloop.observability import configure_logging

    configure_logging(settings.log_format)

    async def until_signal() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await work(stop)
        _leave_threads_behind()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(until_signal())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop, where it is installed: some 5 % less of the processor for each decision."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def collect_seldom() -> None:
    """Leave out of every garbage collection what is there for good: modules, graphs, tables."""
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)


def _warm(each: Sequence[Callable[[], object]]) -> None:
    """Make ready what first events would wait for, beside the work: the start does not wait for every desk."""
    import threading

    import structlog

    def all_of_them() -> None:
        for warm in each:
            try:
                warm()
            except Exception as problem:  # noqa: BLE001 - a desk's own code; its first event tells more
                structlog.get_logger().warning("warming_failed", error=f"{type(problem).__name__}: {problem}")
        collect_seldom()
        structlog.get_logger().info("worker_warmed")

    threading.Thread(target=all_of_them, name="warm", daemon=True).start()


def _leave_threads_behind() -> None:
    """End the process soon even when a node's thread never returns: Python itself would wait for it for ever."""
    import os
    import threading

    import structlog

    def leave() -> None:
        structlog.get_logger().warning("threads_left_behind", threads=[t.name for t in threading.enumerate()])
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(LEAVE_AFTER_S, leave)
    timer.daemon = True
    timer.start()


async def _worker(settings: Settings, stop: asyncio.Event) -> None:

    from tradeloop.airflow.client import AirflowClient
    from tradeloop.effects.webhook import Webhooks
    from tradeloop.effects.webhook_targets import load_targets
    from tradeloop.engine.gate import Gate
    from tradeloop.engine.intake import Intake
    from tradeloop.engine.runner import Runner
    from tradeloop.engine.worker import Worker
    from tradeloop.engine.workload import WorkerOptions
    from tradeloop.gate.policy import PolicySource
    from tradeloop.kafka.consumer import KafkaSource
    from tradeloop.llm.opening import open_gateway
    from tradeloop.llm.tools import open_tools
    from tradeloop.store.approvals import PostgresApprovals
    from tradeloop.store.budgets import PostgresBudgets
    from tradeloop.store.checkpoints import CheckpointStore
    from tradeloop.store.database import Database
    from tradeloop.store.effects import PostgresEffects
    from tradeloop.store.inbox import PostgresInbox
    from tradeloop.store.people import PostgresPeople
    from tradeloop.store.runs import PostgresRuns
    from tradeloop.workflow import load_workflows

    workflows = load_workflows(settings.workflows)
    desks = {event_type: workflow.desk for event_type, workflow in workflows.items()}
    targets = load_targets(settings.webhooks, settings.webhook_hosts, settings.webhook_secret)
    async with (
        Database.of(settings) as database,
        CheckpointStore(database, patience_s=settings.lease_s) as saver,
        AirflowClient.from_settings(settings) as airflow,
        Webhooks(targets) as webhooks,
        open_tools(settings) as tools,
    ):
        inbox = PostgresInbox(database, settings.dead_letters_topic)
        runner = Runner(
            workflows,
            saver,
            PostgresEffects(database),
            _effectors(settings, database, airflow, webhooks),
            instance=settings.instance,
            environment=settings.environment,
            agents=open_gateway(settings, PostgresBudgets(database)),
            tools=tools,
            gate=Gate(PolicySource(settings.gate_policy), PostgresApprovals(database), PostgresPeople(database)),
        )
        options = WorkerOptions(
            desks=tuple(sorted(set(desks.values()))),
            decisions_topic=settings.decisions_topic,
            concurrency=settings.concurrency,
            lease_s=settings.lease_s,
            drain_s=settings.drain_s,
            backlog=settings.backlog,
        )
        source = KafkaSource(
            settings.kafka_bootstrap,
            settings.group,
            settings.events_topic,
            lambda places: inbox.positions(settings.group, places),
        )
        try:
            intake = Intake(inbox, settings.group, desks, dict(reversed(runner.versions)), runner.parsed)
            runs = PostgresRuns(database, settings.dead_letters_topic)
            collect_seldom()
            _warm([workflow.warm for workflow in workflows.values() if workflow.warm])
            await Worker(source, intake, runs, runner, options).run(stop)
        finally:
            await source.close()


def _effectors(
    settings: Settings, database: Database, airflow: AirflowClient, webhooks: Webhooks
) -> dict[str, Effector]:
    from tradeloop.effects.asset_event import EmitAssetEvent
    from tradeloop.effects.publish_event import PublishEvent
    from tradeloop.effects.registry import load_effectors
    from tradeloop.effects.trigger_dag import TriggerDag
    from tradeloop.store.outbox import PostgresOutbox

    publish = PublishEvent(PostgresOutbox(database), settings.events_topic, settings.environment)
    return load_effectors([TriggerDag(airflow), EmitAssetEvent(airflow), webhooks, publish], settings.effects)


def _ballots(settings: Settings, airflow: AirflowClient, database: Database) -> Ballots:
    from tradeloop.airflow.ballots import Ballots
    from tradeloop.airflow.required_actions import AirflowRequiredActions
    from tradeloop.store.approvals import PostgresApprovals
    from tradeloop.store.people import PostgresPeople
    from tradeloop.store.refused_answers import PostgresRefusedAnswers

    return Ballots(
        AirflowRequiredActions(airflow, settings.airflow_approvals_dag),
        PostgresApprovals(database),
        PostgresPeople(database),
        PostgresRefusedAnswers(database),
        settings,
    )


async def _relay(settings: Settings, stop: asyncio.Event) -> None:
    import asyncio
    from contextlib import AsyncExitStack

    from tradeloop.airflow.client import AirflowClient
    from tradeloop.airflow.lifecycle import Lifecycle
    from tradeloop.airflow.run_history import AirflowRunHistory
    from tradeloop.airflow.sweep import Sweep
    from tradeloop.airflow.sweeps import Sweeps
    from tradeloop.airflow.wake import listen
    from tradeloop.audit.keys import load_signing_key
    from tradeloop.engine.housekeeping import Housekeeping
    from tradeloop.engine.relay import Relay, Sweeping
    from tradeloop.engine.sealer import Sealer
    from tradeloop.kafka.producer import KafkaPublisher
    from tradeloop.store.audit_chain import PostgresAuditChain
    from tradeloop.store.captures import PostgresCaptures
    from tradeloop.store.database import Database
    from tradeloop.store.notices import OutboxNotices
    from tradeloop.store.outbox import PostgresOutbox
    from tradeloop.store.retention import LOCK_TIMEOUT_MS, PostgresRetention

    key = load_signing_key(settings.audit_key_file) if settings.audit_key_file else None
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.of(settings))
        publisher = KafkaPublisher(settings.kafka_bootstrap)
        stack.callback(publisher.close)
        sweep: Sweeping | None = None
        airflow: AirflowClient | None = None
        if (settings.sweep or settings.airflow_approvals) and settings.airflow_url:
            airflow = await stack.enter_async_context(AirflowClient.from_settings(settings))
        if settings.sweep and airflow:
            captures = PostgresCaptures(database)
            sweep = Sweep(airflow, publisher, captures, settings)
            if settings.lifecycle_types:
                sweep = Sweeps(sweep, Lifecycle(AirflowRunHistory(airflow), publisher, captures, settings))
        chore: Housekeeping | None = None
        if settings.clean_interval_s:
            patient = Database.of(
                settings,
                size=1,
                lock_timeout_ms=LOCK_TIMEOUT_MS,
            )
            chore = Housekeeping(PostgresRetention(await stack.enter_async_context(patient)), settings.keep_days)
        relay = Relay(
            PostgresOutbox(database),
            publisher,
            sweep=sweep,
            sweep_interval_s=settings.sweep_interval_s,
            chore=chore,
            chore_interval_s=settings.clean_interval_s,
            sealer=Sealer(
                PostgresAuditChain(database),
                key,
                keep_days=settings.keep_audit_days,
                interval_s=settings.audit_seal_s,
            ),
            ballots=_ballots(settings, airflow, database) if settings.airflow_approvals and airflow else None,
        )
        await stack.enter_async_context(OutboxNotices(settings.database_url, relay.outbox_wake))
        if settings.wake_port:
            await stack.enter_async_context(listen(settings.wake_port, relay.sweep_wake))
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: publisher.close())
        await relay.run(stop)
