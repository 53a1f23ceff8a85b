"""The rules of the engine, each a switch: with one of them off, the search must find what it prevents."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Final, Self

from tradeloop.errors import SettingInvalid


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules hold; `metadata["prevents"]` says what happens without."""

    # Intake
    cursor_in_intake: bool = field(
        default=True, metadata={"prevents": "a crash between position and inbox loses events"}
    )
    database_position: bool = field(default=True, metadata={"prevents": "offsets set by hand skip events"})
    cursor_drop: bool = field(
        default=True, metadata={"prevents": "rewound records run again once their key is forgotten"}
    )
    cursor_lock: bool = field(default=True, metadata={"prevents": "two pollers of a partition mix its order"})
    number_after_lock: bool = field(
        default=True, metadata={"prevents": "a poller that wakes up late orders by old numbers"}
    )
    unique_event: bool = field(default=True, metadata={"prevents": "an event that comes twice runs twice"})
    distinct_in_batch: bool = field(default=True, metadata={"prevents": "an event twice in a batch runs twice"})
    subject_lock: bool = field(
        default=True, metadata={"prevents": "a subject that comes by two partitions has two heads"}
    )
    key_share: bool = field(default=True, metadata={"prevents": "intake beside a record leaves a run asleep"})
    # Runs
    not_exists: bool = field(default=True, metadata={"prevents": "a wrong head overtakes"})
    claim_locks: bool = field(default=True, metadata={"prevents": "two claimers own one run"})
    fence_up: bool = field(default=True, metadata={"prevents": "a timed-out task passes for its successor"})
    anti_join: bool = field(default=True, metadata={"prevents": "what commits after a burial is nobody's"})
    ask_owned: bool = field(default=True, metadata={"prevents": "a claim whose answer was lost is never started"})
    new_identity: bool = field(default=True, metadata={"prevents": "a buried worker claims what is taken away at once"})
    record_fence: bool = field(default=True, metadata={"prevents": "a slow twin records"})
    promote_apart: bool = field(default=True, metadata={"prevents": "a record beside an intake leaves a run asleep"})
    cancel_at_head: bool = field(default=True, metadata={"prevents": "a cancel beside a record leaves a run asleep"})
    cancel_before_effect: bool = field(default=True, metadata={"prevents": "a run is cancelled whose effect happened"})
    one_flush: bool = field(default=True, metadata={"prevents": "a stopped process holds its locks against all"})
    own_version: bool = field(default=True, metadata={"prevents": "a run is carried on by another version's code"})
    replay_generation: bool = field(default=True, metadata={"prevents": "a dead letter is replayed twice"})
    # Checkpoints
    put_fence: bool = field(default=True, metadata={"prevents": "who lost the run writes its thread"})
    share_lock: bool = field(
        default=True, metadata={"prevents": "an owner changes between a fence's check and its commit"}
    )
    take_locks: bool = field(default=True, metadata={"prevents": "as above: claim and takeover lock as for a deletion"})
    ack_after_commit: bool = field(default=True, metadata={"prevents": "a run builds on a checkpoint that never was"})
    resend_unknown: bool = field(default=True, metadata={"prevents": "as above, when the commit's answer was lost"})
    cut_batches: bool = field(default=True, metadata={"prevents": "one bad row fails its neighbours"})
    gone_waiters: bool = field(
        default=True, metadata={"prevents": "a cancelled waiter ends the lane, all later puts hang"}
    )
    # People
    answer_once: bool = field(default=True, metadata={"prevents": "a second answer overrides the first"})
    approved_digest: bool = field(default=True, metadata={"prevents": "another action than the approved one is done"})
    person_waits: bool = field(
        default=True, metadata={"prevents": "'did not happen' is said while the call may still land"}
    )
    # Effects
    slot_latch: bool = field(default=True, metadata={"prevents": "two branches of a run act, each once"})
    event_latch: bool = field(default=True, metadata={"prevents": "the replay of a dead letter acts again, otherwise"})
    adopt_latched: bool = field(default=True, metadata={"prevents": "the decision recorded is not the action done"})
    start_fence: bool = field(default=True, metadata={"prevents": "who lost the run starts its effect"})
    blind_unknown: bool = field(default=True, metadata={"prevents": "a call whose end is unknown is made again"})
    absent_unknown: bool = field(
        default=True, metadata={"prevents": "'not there' is believed while the call may still land"}
    )
    late_truth_wakes: bool = field(
        default=True, metadata={"prevents": "a late answer settles the effect, its run sleeps"}
    )
    # Outbox
    lane_owner: bool = field(default=True, metadata={"prevents": "two relays break the order of a key"})
    id_order: bool = field(default=True, metadata={"prevents": "a relay breaks the order of a key"})
    delete_reported: bool = field(default=True, metadata={"prevents": "a broker's death loses a decision"})
    stop_at_failure: bool = field(default=True, metadata={"prevents": "what comes behind a failed send overtakes it"})

    @classmethod
    def without(cls, *names: str) -> Self:
        """All rules but these.

        Raises:
            SettingInvalid: a name that no rule has.
        """
        known = names_of_rules()
        for name in names:
            if name not in known:
                raise SettingInvalid(f"no rule is called {name!r}", hint=f"one of: {', '.join(known)}")
        return replace(cls(), **dict.fromkeys(names, False))


def names_of_rules() -> tuple[str, ...]:
    """Every rule, in the order of the engine's road."""
    return tuple(one.name for one in fields(Rules))


def prevented_by(name: str) -> str:
    """What happens without the rule."""
    return str(next(one for one in fields(Rules) if one.name == name).metadata["prevents"])


UNSEEN: Final[dict[str, str]] = {
    "cursor_lock": "numbers are drawn behind the subject's lock, doubles meet the unique key, the position moves on; "
    "it stays for an intake without the subject's lock",
    "take_locks": "FOR SHARE in the fences stops a plain UPDATE of the owner, too; it stays for a fence that is weaker",
    "person_waits": "not among 1,500 schedules: a caller has to sleep between start and call until a person answers",
    "absent_unknown": "not among 1,500 schedules: a call has to land between the question and its repetition; "
    "an earlier model found 5 of 15,000",
}
"""Rules whose absence the search does not find, each with the reason (docs/model.md)."""
