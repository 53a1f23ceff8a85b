"""tradeloop approvals: what people are asked, and their answers, through the API and under one's own key."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final  # Any: JSON

import typer

from tradeloop.cli.endings import CONFLICT, NOT_ALLOWED, NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, moment, note, print_json, print_rows, printable, say, styled
from tradeloop.errors import Ambiguous, AnswerStale, NotFound, TradeloopError, UsageInvalid

if TYPE_CHECKING:
    from tradeloop.cli.remote import Remote

LIST = epilog(
    "tradeloop approvals list --mine",
    "tradeloop approvals list --state rejected --desk marketdata --json",
    codes=(NOT_ALLOWED, UNREACHABLE),
)
SHOW = epilog(
    "tradeloop approvals show 7c20e1b4", "tradeloop approvals show 7c20 --json", codes=(NOT_FOUND, UNREACHABLE)
)
APPROVE = epilog(
    "tradeloop approvals approve 7c20e1b4",
    'tradeloop approvals approve 7c20 --digest 7f3a91c2 --relied-on F-01 --reason "feed B says 68.92"',
    codes=(NOT_FOUND, NOT_ALLOWED, CONFLICT, UNREACHABLE),
)
REJECT = epilog(
    'tradeloop approvals reject 7c20 --reason "the second source is late, not wrong"',
    'tradeloop approvals reject 7c20 b81f 90aa --reason "one cause: feed B was late" --json',
    codes=(NOT_FOUND, NOT_ALLOWED, CONFLICT, UNREACHABLE),
)
MODIFY = epilog(
    'tradeloop approvals modify 7c20 --set rows=2 --reason "one row is right after all"',
    'tradeloop approvals modify 7c20 --set \'dates=["2009-03-06"]\' --reason "only this day" --json',
    codes=(NOT_FOUND, NOT_ALLOWED, CONFLICT, UNREACHABLE),
)
ESCALATE = epilog(
    'tradeloop approvals escalate 7c20 --reason "too large for one pair of eyes"',
    'tradeloop approvals escalate 7c20 --reason "too large for one pair of eyes" --json',
    codes=(NOT_FOUND, NOT_ALLOWED, CONFLICT, UNREACHABLE),
)
NEXT = epilog("tradeloop approvals next", "tradeloop approvals next --desk marketdata", codes=(NOT_FOUND, UNREACHABLE))
COLUMNS: Final = {
    "id": "ID",
    "deadline": "DEADLINE",
    "left": "LEFT",
    "what": "WHAT",
    "desk": "DESK",
    "tier": "TIER",
    "state": "STATE",
    "subject": "SUBJECT",
    "rule": "RULE",
}
SHOWN_ID: Final = 8
MAX_LISTED: Final = 1000
Id = Annotated[str, typer.Argument(help="The beginning of the approval's id.")]
Reason = Annotated[str, typer.Option(help="Why, 10 to 500 characters; it is recorded.")]
Desk = Annotated[str, typer.Option(help="Only of this desk.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    approvals = typer.Typer(help="What waits for people, and their answers.", no_args_is_help=True)
    approvals.command("list", epilog=LIST)(list_approvals)
    approvals.command("show", epilog=SHOW)(show)
    approvals.command("next", epilog=NEXT)(show_next)
    approvals.command("approve", epilog=APPROVE)(approve)
    approvals.command("reject", epilog=REJECT)(reject)
    approvals.command("modify", epilog=MODIFY)(modify)
    approvals.command("escalate", epilog=ESCALATE)(escalate)
    app.add_typer(approvals, name="approvals")


def list_approvals(
    state: Annotated[str, typer.Option(help="pending, approved, rejected, ...; all for every one.")] = "pending",
    desk: Desk = "",
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you may answer.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List what waits, the nearest deadline first."""
    from tradeloop.domain.approvals import ApprovalState

    states = [one.value for one in ApprovalState] if state == "all" else [state]
    if unknown := [one for one in states if one not in [known.value for known in ApprovalState]]:
        known = ", ".join(one.value for one in ApprovalState)
        raise UsageInvalid(f"--state {unknown[0]}: one of {known} or all is expected.")
    order = "deadline" if state == "pending" else "newest"
    with _api() as api:
        found = api.every("approvals", MAX_LISTED if mine else limit, state=states, desk=desk or None, order=order)
    own = [one for one in found if one["may_answer"]]
    chosen = (own if mine else found)[:limit]
    if as_json:
        print_json([_json(one) for one in chosen])
        return
    print_rows(COLUMNS, [_row(one["approval"]) for one in chosen], empty=_empty(state, desk, mine))
    if state == "pending" and chosen:
        first = (own or chosen)[0]["approval"]["approval_id"][:SHOWN_ID]
        note(f"{len(own)} wait for you, {len(found) - len(own)} for others. Next: tradeloop approvals show {first}")


def show(
    approval: Id,
    model_text: Annotated[bool, typer.Option("--model-text", help="Show what a model wrote: untrusted.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show one question: what is asked, by which rule, on which facts, and what happens if nobody answers."""
    with _api() as api:
        view = _found(api, approval)
    if as_json:
        print_json(_json(view))
        return
    _tell(view, model_text=model_text)


def show_next(desk: Desk = "", as_json: JsonFlag = False) -> None:
    """Show the question with the nearest deadline that you may answer."""
    with _api() as api:
        found = [one for one in api.every("approvals", MAX_LISTED, desk=desk or None) if one["may_answer"]]
    if not found:
        raise NotFound("nothing waits for you.", hint="tradeloop approvals list")
    if as_json:
        print_json(_json(found[0]))
        return
    _tell(found[0], model_text=False)


def approve(
    approval: Id,
    digest: Annotated[str, typer.Option(help="Of the action that you saw: 8 or more of its hex digits.")] = "",
    reason: Reason = "",
    relied_on: Annotated[list[str] | None, typer.Option("--relied-on", help="A fact that you rely on; repeat.")] = None,
    last_four: Annotated[str, typer.Option(help="Tier 3: the digest's last four digits.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Say yes to exactly one action. Without --digest the question is shown, and asked, at a terminal."""
    with _api() as api:
        view = _found(api, approval)
        if not digest:
            digest, reason, relied_on, last_four = _asked(view, reason, relied_on, last_four)
        body = {
            "answer": "approve",
            "digest": digest,
            "version": view["approval"]["version"],
            "reason": reason,
            "relied_on": relied_on or [],
            "last_four": last_four,
            "channel": "cli",
        }
        _told(_answered(api, view, body), as_json=as_json)


def reject(
    approvals: Annotated[list[str], typer.Argument(help="The beginnings of one or several ids.")],
    reason: Reason = "",
    digest: Annotated[str, typer.Option(help="Of the action that you saw; needed only to be sure.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Say no: nothing happens, and the run ends. Several at once with one reason; each has a result of its own."""
    if digest and len(approvals) > 1:
        raise UsageInvalid("--digest is of one action; give one id with it.")
    results, worst = [], 0
    with _api() as api:
        for one in approvals:
            try:
                view = _found(api, one)
                body = {"answer": "reject", "digest": digest or view["approval"]["digest"], "reason": reason}
                results.append(_json(_answered(api, view, body | {"channel": "cli"})))
            except TradeloopError as problem:
                if len(approvals) == 1:
                    raise
                worst = problem.exit_code
                results.append({"approval_id": one, "error": problem.message})
    if as_json:
        print_json(results if len(approvals) > 1 else results[0])
    else:
        for result in results:
            _tell_result(result)
    if worst:
        raise typer.Exit(worst)


def modify(
    approval: Id,
    changes: Annotated[list[str], typer.Option("--set", help="name=value, a JSON value or text; name= takes it away.")],
    reason: Reason = "",
    digest: Annotated[str, typer.Option(help="Of the action that you saw.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Ask for the action with other parameters: this version is void, and another person answers the new one."""
    with _api() as api:
        view = _found(api, approval)
        old = view["approval"]
        params = {**old["action"]["params"], **dict(_assignment(one) for one in changes)}
        body = {
            "params": {name: value for name, value in params.items() if value is not None},
            "digest": digest or old["digest"],
            "version": old["version"],
            "reason": reason,
        }
        path = f"approvals/{old['approval_id']}/modify"
        _told(dict(api.post(path, body, etag=_etag(api, old))), as_json=as_json)


def escalate(approval: Id, reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Ask for one more person, one tier higher, with a new deadline."""
    with _api() as api:
        old = _found(api, approval)["approval"]
        path = f"approvals/{old['approval_id']}/escalate"
        _told(dict(api.post(path, {"reason": reason}, etag=_etag(api, old))), as_json=as_json)


def _api() -> Remote:
    from tradeloop.cli.remote import open_remote

    return open_remote()


def _found(api: Remote, beginning: str) -> dict[str, Any]:
    text = beginning.lower()
    if not text or set(text) - set("0123456789abcdef-"):
        raise UsageInvalid(f"{beginning!r} is no beginning of an id: hex digits are expected.")
    if len(text) == 36:
        return dict(api.get(f"approvals/{text}"))
    from tradeloop.domain.approvals import ApprovalState

    states = [one.value for one in ApprovalState]
    found = [
        one
        for one in api.every("approvals", 50, state=states, text=text, order="newest")
        if one["approval"]["approval_id"].startswith(text)
    ]
    if not found:
        raise NotFound(f"no approval begins with {beginning!r}.", hint="tradeloop approvals list --state all")
    if len(found) > 1:
        ids = ", ".join(one["approval"]["approval_id"][: max(SHOWN_ID, len(text) + 2)] for one in found[:10])
        raise Ambiguous(f"{len(found)} approvals begin with {beginning!r}: {ids}.", hint="give more of the id")
    return found[0]


def _etag(api: Remote, approval: Mapping[str, Any]) -> str:
    """The ETag of what was read, by which a change in between is found out."""
    now = api.get(f"approvals/{approval['approval_id']}")
    if now["approval"]["revision"] != approval["revision"]:
        raise AnswerStale(
            "it was changed a moment ago.", hint=f"tradeloop approvals show {approval['approval_id'][:8]}"
        )
    return now.etag


def _answered(api: Remote, view: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    approval = view["approval"]
    return dict(api.post(f"approvals/{approval['approval_id']}/answer", body, etag=_etag(api, approval)))


def _asked(
    view: Mapping[str, Any], reason: str, relied_on: list[str] | None, last_four: str
) -> tuple[str, str, list[str] | None, str]:
    """At a terminal: the question, and what the answer must say."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageInvalid(
            "--digest is needed: 8 or more digits of the action that you saw.", hint="tradeloop approvals show ID"
        )
    approval = view["approval"]
    _tell(view, model_text=False)
    tier = approval["requirement"]["tier"]
    facts = [str(fact.get("id")) for fact in approval["context"].get("facts", [])]
    if tier >= 2 and facts and not relied_on:
        relied_on = typer.prompt(f"facts you rely on, of {' '.join(facts)}", err=True).replace(",", " ").split()
    reason = reason or typer.prompt("reason", err=True)
    if tier >= 3:
        last_four = last_four or typer.prompt("last four digits of the digest", err=True)
    if not typer.confirm(f"approve exactly {approval['digest'][:8]}…{approval['digest'][-4:]}?", err=True):
        raise UsageInvalid("not answered: nothing was recorded.")
    return approval["digest"], reason, relied_on, last_four


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageInvalid(f"--set {text!r}: name=value is expected.")
    if not value:
        return name, None
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _json(view: Mapping[str, Any]) -> dict[str, Any]:
    approval = dict(view["approval"])
    told = {name: view[name] for name in ("short_digest", "may_answer", "why_not")}
    wanted = approval["requirement"]
    have = sum(vote["answer"] == "approve" for vote in approval["votes"])
    return approval | told | {"approvals": {"have": have, "need": sum(step["needs"] for step in wanted["steps"])}}


def _row(approval: Mapping[str, Any]) -> dict[str, Any]:
    deadline = datetime.fromisoformat(approval["deadline_at"])
    is_open = approval["state"] == "pending"
    return {
        "id": approval["approval_id"][:SHOWN_ID],
        "deadline": deadline,
        "left": _left(deadline) if is_open else "—",
        "what": f"{approval['action']['kind']} {approval['action']['target']}",
        "desk": approval["desk"],
        "tier": approval["requirement"]["tier"],
        "state": "waiting" if is_open else approval["state"],
        "subject": approval["subject"],
        "rule": approval["requirement"]["rule"],
    }


def _left(deadline: datetime) -> str:
    seconds = int((deadline - datetime.now(UTC)).total_seconds())
    if seconds <= 0:
        return "over"
    hours, rest = divmod(seconds, 3600)
    return f"{hours}h {rest // 60:02d}m" if hours else f"{rest // 60}m {rest % 60:02d}s"


def _empty(state: str, desk: str, mine: bool) -> str:
    if state == "pending" and not desk:
        return "Nothing waits for you." if mine else "Nothing waits."
    return f"No approval matches state={state}{f' and desk={desk}' if desk else ''}."


def _tell(view: Mapping[str, Any], *, model_text: bool) -> None:
    approval = view["approval"]
    wanted, context = approval["requirement"], approval["context"]
    row = _row(approval)
    version = f"   version {approval['version']}" if approval["version"] > 1 or approval.get("next_id") else ""
    say(styled(printable(f"{row['what']}   {approval['subject']}"), bold=True))
    say(f"approval {approval['approval_id']}   {row['state']}   {approval['desk']}   tier {wanted['tier']}{version}")
    silence = (
        "escalated once, then it counts as rejected" if wanted["on_silence"] == "escalate" else "it counts as rejected"
    )
    say(f"deadline {moment(row['deadline'])}   {row['left']} left   if nobody answers: {silence}")
    say(printable(f"rule {wanted['rule']}: {wanted['why']}"))
    if raised := wanted.get("raised_by"):
        say(printable(f"  raised: {', '.join(raised)}"))
    say("facts, from code:")
    for fact in sorted(context.get("facts", []), key=lambda one: not one.get("against")):
        against = "⚠ against   " if fact.get("against") else ""
        say(printable(f"  {fact.get('id')}  {against}{fact.get('sentence', '')}"))
    say("if approved, once:")
    for name, value in sorted(approval["action"]["params"].items()):
        say(printable(f"  {name}  {value if isinstance(value, str) else json.dumps(value)}"))
    say(f"digest {view['short_digest']}   (whole: {approval['digest']})")
    proposal = context.get("proposal") or {}
    if proposal and not model_text:
        say("a model proposed it; what it wrote is untrusted: --model-text shows it")
    elif proposal:
        say("UNTRUSTED, written by a model, not checked:")
        for line in str(proposal.get("rationale", "")).splitlines()[:40]:
            say(printable(f"  ┊ {line}"))
    for vote in approval["votes"]:
        at = moment(datetime.fromisoformat(vote["at"]))
        say(printable(f"{vote['answer']} by {vote['principal']} at {at} through {vote['channel']}: {vote['reason']}"))
    if approval.get("note"):
        say(printable(approval["note"]))
    if view["why_not"]:
        note(printable(f"you cannot answer: {view['why_not']}"))
    else:
        short = approval["approval_id"][:SHOWN_ID]
        given = f"approve {short} --digest {approval['digest'][:8]} --reason ... | reject {short} --reason ..."
        note(f"answer: tradeloop approvals {given}")


def _told(view: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(_json(view))
    else:
        _tell_result(_json(view))


def _tell_result(result: Mapping[str, Any]) -> None:
    if "error" in result:
        typer.echo(printable(f"error: {result['approval_id']}: {result['error']}"), err=True)
        return
    counts = result["approvals"]
    waits = f", {counts['have']} of {counts['need']}: waits for another person" if result["state"] == "pending" else ""
    version = f" version {result['version']}" if result["version"] > 1 else ""
    say(printable(f"approval {result['approval_id'][:SHOWN_ID]}{version} is {result['state']}{waits}"))
