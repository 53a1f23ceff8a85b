"""What a person reads on Airflow's page: typed facts, the action, its digest and a link; never a model's words.

Airflow renders it as Markdown, so nothing of it can make a link, an image or a heading of its own. It is a pure
function of the approval, because what was shown is compared with it before an answer counts.
"""

from __future__ import annotations

import re
from typing import Any, Final  # Any: JSON of a graph's context

from tradeloop.domain.approvals import Approval
from tradeloop.domain.canonical import utc_text

APPROVE: Final = "Approve"
REJECT: Final = "Reject"
ELSEWHERE: Final = "Answered elsewhere"
MAX_FACTS: Final = 20
MAX_FACT: Final = 300
MAX_ACTION: Final = 20_000
MAX_SUBJECT: Final = 200
SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&$^=:\"'/@])")
HIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Controls, zero widths and changes of direction: a text must not look like another one."""


def subject_of(approval: Approval) -> str:
    """The headline."""
    action = approval.action
    return plain(f"{approval.desk}: {action.kind} {action.target} for {approval.subject}", MAX_SUBJECT)


def body_of(approval: Approval, number: int, web_url: str) -> str:
    """The body of the question's `number`-th time of asking."""
    requirement = approval.requirement
    people = "one person" if requirement.needs == 1 else f"{requirement.needs} persons, one after the other"
    again = f" Asked for the {number}. time." if number > 1 else ""
    lines = [
        f"**Digest** `{approval.digest}`",
        f"Desk {_escaped(approval.desk)}, version {approval.version}, tier {requirement.tier}, "
        f"rule {_escaped(requirement.rule)}: {_escaped(requirement.why)}",
        f"Wants {people}, until {utc_text(approval.deadline_at)[:19]}Z; no answer: "
        f"{'rejected' if requirement.on_silence == 'reject' else 'escalated'}.{again}",
        "**What will happen if approved**, once:",
        _fenced(_pretty(approval)),
        "**Facts**, from code and independent sources:",
        _facts(approval.context.get("facts")),
        "Evidence, history and the agent's own words are on tradeloop's page"
        + (f": <{web_url.rstrip('/')}/approvals/{approval.approval_id}>" if web_url else "."),
        f"A reason of 10 to 500 characters is required. `{ELSEWHERE}` is tradeloop's own and counts as nothing. "
        "An answer counts when tradeloop has taken it over; the note of this DAG run then says so.",
    ]
    return "\n\n".join(lines)


def plain(text: str, longest: int) -> str:
    """One line without hidden characters."""
    line = " ".join(HIDDEN.sub(" ", text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _escaped(text: Any, longest: int = MAX_FACT) -> str:
    """The text as Markdown that shows just it; an address in it makes no link."""
    line = plain(str(text), longest).replace("://", ": //").replace("www.", "www .")
    return SPECIAL.sub(r"\\\1", line)


def _facts(facts: Any) -> str:
    if not isinstance(facts, list) or not facts:
        return "- none"
    shown = [_fact(fact) for fact in facts[:MAX_FACTS] if isinstance(fact, dict)]
    left = len(facts) - len(shown)
    return "\n".join([*shown, *([f"- and {left} more, on tradeloop's page"] if left > 0 else [])])


def _fact(fact: dict[str, Any]) -> str:
    against = " **against what is asked**" if fact.get("against") else ""
    source = f" \\({_escaped(fact['source'], 60)}\\)" if fact.get("source") else ""
    return f"- {_escaped(fact.get('id', '?'), 40)}: {_escaped(fact.get('sentence', ''))}{source}{against}"


def _pretty(approval: Approval) -> str:
    text = approval.action.model_dump_json(indent=1)
    text = HIDDEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)
    if len(text) <= MAX_ACTION:
        return text
    return text[:MAX_ACTION] + f"\n… and {len(text) - MAX_ACTION:,} characters more: read it on tradeloop's page"


def _fenced(text: str) -> str:
    """A block in which nothing is Markdown: its fence is longer than any run of its own marks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}json\n{text}\n{fence}"
