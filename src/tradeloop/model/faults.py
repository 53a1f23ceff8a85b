"""What goes wrong: kills, stops, rebalances unheard, leases that end, servers that restart, hands that slip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar  # Any: a fault's town

from tradeloop.model.ownership import cancel, rest
from tradeloop.model.process import Code, Process
from tradeloop.model.town import Town
from tradeloop.model.worker import Worker
from tradeloop.model.world import Transaction

T = TypeVar("T")


def _pick(town: Town, choices: list[T]) -> T | None:
    return choices[town.world.draw(len(choices))] if choices else None


def kill_worker(town: Town) -> None:
    worker = town.workers[town.world.draw(len(town.workers))]
    town.replace(worker, worker.version)


def deploy(town: Town) -> None:
    worker = town.workers[town.world.draw(len(town.workers))]
    town.world.say("the next worker has the other version")
    town.replace(worker, 3 - worker.version)


def stop_process(town: Town) -> None:
    process: Process | None = _pick(town, [p for p in (*town.workers, *town.relays) if not p.stopped])
    if process is not None:
        process.stopped = True
        town.world.say(f"{process.name} is stopped")
        if isinstance(process, Worker) and town.world.draw(2):
            town.world.members[process.identity].expired = True
            town.world.say("  for longer than its lease")


def continue_process(town: Town) -> None:
    process: Process | None = _pick(town, [p for p in (*town.workers, *town.relays) if p.stopped])
    if process is not None:
        process.stopped = False
        town.world.say(f"{process.name} goes on")


def rebalance(town: Town) -> None:
    town.rebalance(deaf=town.world.draw(3))


def end_lease(town: Town) -> None:
    members = town.world.members
    identity = _pick(town, [i for i, member in members.items() if not (member.dead or member.expired)])
    if identity is not None:
        members[identity].expired = True
        town.world.say(f"the lease of worker {identity} ends")


def kill_relay(town: Town) -> None:
    relay = town.relays[town.world.draw(len(town.relays))]
    town.replace_relay(relay)


def lose_lane(town: Town) -> None:
    number = town.world.draw(len(town.world.lanes))
    town.world.lanes[number][1] = 1
    town.world.say(f"the lease of lane {number} ends")


def cancel_run(town: Town) -> None:
    row = _pick(town, list(town.world.work.values()))
    if row is not None:
        town.world.say(f"a person asks to cancel run {row.run}")
        town.world.orphans.append(Transaction(town.world, cancel, row.run))


def restart_database(town: Town) -> None:
    world = town.world
    world.say("PostgreSQL restarts")
    tasks = [task for process in town.processes() for task in process.tasks]
    for transaction in [task.transaction for task in tasks if task.transaction] + world.orphans:
        if not transaction.done:
            transaction.lose(commit=world.draw(2) == 1)
    world.orphans.clear()


def kill_broker(town: Town) -> None:
    town.world.say("the broker is killed")
    for relay in town.relays:
        relay.lose()


def set_offsets(town: Town) -> None:
    part = town.world.draw(len(town.world.log))
    town.world.offsets[part] = (0, len(town.world.log[part]))[town.world.draw(2)]
    town.world.say(f"the group's offset of partition {part} is set to {town.world.offsets[part]} by hand")


def rewind(town: Town) -> None:
    """A client falls back to the earliest record (auto.offset.reset after an error)."""
    worker = town.workers[town.world.draw(len(town.workers))]
    part = town.world.draw(len(town.world.log))
    if part in worker.positions:
        worker.positions[part] = 0
        town.world.say(f"{worker.name} reads partition {part} again from its beginning")


def forget_key(town: Town) -> None:
    """The dedupe window passes: of an event whose every record is behind the position, and whose run has ended."""
    world = town.world
    ahead = {event for part, log in enumerate(world.log) for event in log[world.cursor[part] :]}
    old = [e for e, (run, _) in world.keys.items() if e not in ahead and e not in world.letters and run in world.ended]
    event = _pick(town, old)
    if event is not None and world.draw(2):
        if (key := ("key", event)) in world.locks and world.locks[key]:
            return
        del world.keys[event]
        world.say(f"the key of event {event} is forgotten")


def set_head(town: Town) -> None:
    row = _pick(town, [row for row in town.world.work.values() if row.state == "q" and not row.head])
    if row is not None and not town.world.locks.get(("work", row.run)):
        row.head = True
        town.world.say(f"run {row.run} is made head by hand")


def leak_task(town: Town) -> None:
    """A run's time is up; its task breathes on, the run rests."""
    worker = town.workers[town.world.draw(len(town.workers))]
    graph = _pick(town, [g for task, g in worker.runs.items() if not task.ended and not task.leaked])
    if graph is None or worker.stopped:
        return
    task = next(task for task, known in worker.runs.items() if known is graph)
    task.leaked = True

    def resting() -> Code:
        yield from worker.call(rest, graph.owner, graph.run, graph.fence)
        if worker.held.get(graph.run) == graph.fence:
            del worker.held[graph.run]

    town.world.say(f"    the time of run {graph.run} is up on {worker.name}, its task goes on")
    worker.spawn("rest", resting())


FAULTS: Final[tuple[Callable[[Town], Any], ...]] = (
    kill_worker,
    stop_process,
    continue_process,
    rebalance,
    end_lease,
    kill_relay,
    lose_lane,
    cancel_run,
    restart_database,
    kill_broker,
    set_offsets,
    rewind,
    forget_key,
    set_head,
    leak_task,
    deploy,
)
