"""What Airflow's page shows of an approval: exact, typed, and no Markdown but our own."""

from __future__ import annotations

import json

import pytest

from asked import ACTION, approval
from tradeloop.airflow.ballot_text import body_of, subject_of
from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval

PAGES = "https://tradeloop.example"
HOSTILE = [
    "[approve](https://evil.example/x)",
    "![](https://evil.example/pixel.png)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\n\n# Approved already\n\n",
    "**Digest** `0000`",
    "``` \n break out",
    "````\n# break out",
    "https://evil.example www.evil.example",
    "safe\u202egnp.exe",
    "ze\u200bro",
    "| a | b |\n|---|---|",
    "&lt;b&gt; &#91;x&#93;",
    "{{ dag_run.conf }} {% raw %}",
    "\x00\x1b[31mred",
    "a\\](javascript:alert(1))",
]


def test_the_body_holds_facts_action_digest_and_link() -> None:
    one = approval()

    body = body_of(one, 1, PAGES)

    assert f"**Digest** `{one.digest}`" in body
    assert json.loads(body.partition("```json\n")[2].partition("\n```")[0]) == ACTION.model_dump(mode="json")
    assert r"F\-01: \+24\.8 % on 2009\-03\-06 \(check MD09\)" in body
    assert f"<{PAGES}/approvals/{one.approval_id}>" in body
    assert subject_of(one) == "marketdata: trigger_dag publish_batch for SPX/2009-03"


def test_it_is_the_same_for_the_same_question_and_another_for_another_asking() -> None:
    one = approval()

    assert body_of(one, 1, PAGES) == body_of(one.model_copy(), 1, PAGES)
    assert body_of(one, 1, PAGES) != body_of(one, 2, PAGES)


def test_no_word_of_a_model_is_in_it() -> None:
    context = {"proposal": {"rationale": "TRUST ME"}, "reasons": ["TRUST ME"], "facts": []}

    assert "TRUST ME" not in body_of(approval(context=context), 1, PAGES) + subject_of(approval(context=context))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["fact", "source", "id", "param", "target", "subject"])
def test_a_hostile_text_makes_no_markdown(text: str, place: str) -> None:
    fact = {"id": "F-01", "sentence": "s", "source": "t"}
    changes = {
        "fact": {"context": {"facts": [fact | {"sentence": text}]}},
        "source": {"context": {"facts": [fact | {"source": text}]}},
        "id": {"context": {"facts": [fact | {"id": text}]}},
        "param": {"action": Action(kind="k", target="t", params={"text": text, text: "x"})},
        "target": {"action": Action(kind="k", target=text)},
        "subject": {"subject": text},
    }
    one: Approval = approval(**changes[place])

    body, subject = body_of(one, 1, PAGES), subject_of(one)

    fence = body.partition("**What will happen if approved**, once:\n\n")[2].partition("json\n")[0]
    block, _, after = body.partition(f"{fence}json\n")[2].partition(f"\n{fence}\n")
    outside = body.partition(fence)[0] + after
    assert set(fence) == {"`"}
    assert fence not in block
    assert "\n#" not in outside
    assert "<script" not in outside.replace("\\<", "")
    assert "](" not in outside.replace("\\]", "").replace("\\(", "")
    assert outside.count("://") == 1  # our own link
    assert not {"\u202e", "\u200b", "\x00", "\x1b"} & set(body + subject)
    assert "\n" not in subject
    assert len(outside.split("\n\n")) == len(body_of(approval(), 1, PAGES).split("\n\n")) - 1


def test_much_is_cut_and_said_so() -> None:
    facts = [{"id": f"F-{number}", "sentence": "x" * 1000} for number in range(50)]
    action = Action(kind="k", target="t", params={"rows": ["y" * 100] * 1000})

    body = body_of(approval(context={"facts": facts}, action=action), 1, "")

    assert "and 30 more, on tradeloop's page" in body
    assert "characters more: read it on tradeloop's page" in body
    assert len(body) < 40_000


@pytest.mark.parametrize("facts", [None, {}, [], "text", [3, None]])
def test_facts_that_are_none_break_nothing(facts: object) -> None:
    assert "**Facts**" in body_of(approval(context={"facts": facts}), 1, PAGES)
