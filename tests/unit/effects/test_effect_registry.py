"""Own effects: found by entry point and setting, refused with a reason, and the example of the page."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hand import Hand

from tradeloop import Action
from tradeloop.domain.actions import TargetClass
from tradeloop.effects import EffectBlocked, EffectUnanswered, registry
from tradeloop.effects.registry import load_effectors
from tradeloop.errors import EffectInvalid

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "own_effect" / "desk_hold.py"
PAGE = (ROOT / "docs" / "effects.md").read_text()


class Fitting:
    kind, target_class = "fitting", TargetClass.BLIND

    async def execute(self, *_: Any) -> dict[str, Any]:
        return {}


class Nameless(Fitting):
    kind = ""


class Classless(Fitting):
    target_class = "keyed"


class Motionless:
    kind, target_class = "motionless", TargetClass.BLIND

    def execute(self, *_: Any) -> dict[str, Any]:
        return {}


class Deaf(Fitting):
    target_class = TargetClass.QUERYABLE


class Broken(Fitting):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


fitting = Fitting()


@pytest.fixture(autouse=True)
def _forget() -> Any:
    yield
    sys.modules.pop("desk_hold", None)


def test_an_own_effect_is_found_by_setting() -> None:
    found = load_effectors([fitting], [f"{EXAMPLE}:DeskHold"])
    assert sorted(found) == ["desk_hold", "fitting"]


def test_an_own_effect_is_found_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("own", f"{__name__}:fitting", "tradeloop.effects")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "tradeloop.effects" else [])
    assert load_effectors([]) == {"fitting": fitting}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Nameless", "`kind` must be a text"),
        ("Classless", "must be one of TargetClass.KEYED, TargetClass.QUERYABLE, TargetClass.BLIND"),
        ("Motionless", "`async def execute"),
        ("Deaf", "needs `async def find"),
        ("Broken", "cannot be loaded: no licence"),
        ("missing", "cannot be loaded"),
        ("fitting", "'fitting' of .* exists already"),
    ],
)
def test_an_effect_that_does_not_fit_says_why_at_the_start(name: str, reason: str) -> None:
    with pytest.raises(EffectInvalid, match=reason) as caught:
        load_effectors([fitting], [f"{__name__}:{name}"])
    assert caught.value.where == "TRADELOOP_EFFECTS"


def test_the_page_shows_the_example_as_it_is() -> None:
    (shown,) = re.findall(r"```python\n# examples/own_effect/desk_hold.py\n(.*?)```", PAGE, re.DOTALL)
    assert shown == EXAMPLE.read_text()


async def test_the_example_does_what_the_page_says() -> None:
    effector: Any = load_effectors([], [f"{EXAMPLE}:DeskHold"])["desk_hold"]
    hold = Action(kind="desk_hold", target="rates", params={"amount": "12.40"})
    hand = await Hand(effector).begin()
    effector.system["rates"] = "closed"
    with pytest.raises(EffectBlocked):
        await hand.perform(hold)
    effector.system["rates"] = "silent"
    with pytest.raises(EffectUnanswered):
        await hand.perform(hold)
    effector.system["rates"] = {}
    view = await hand.perform(hold)
    assert view["result"] == {"held": "12.40", "for": "SPX/2009-07"}
    assert effector.system == {"rates": {hand.effect.key: "12.40"}}
    refused = await hand.acting().perform("2", Action(kind="desk_hold", target="none", params={"amount": "1"}))
    assert (refused["state"], refused["error"]) == ("failed", "the desk has no book none")
