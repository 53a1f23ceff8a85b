"""Templates to answers: a whole page, or the one region that a running page asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final  # Any: values of templates
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from tradeloop.domain.people import Principal
from tradeloop.domain.switches import Switch
from tradeloop.report.words import count, said, span, tone_of
from tradeloop.web import assets, times
from tradeloop.web.preferences import Preferences
from tradeloop.web.spelling import cut, finalized

LINK: Final = re.compile(r'( (?:href|hx-get)="/)(?!static/|api/)([^"#]*)')
ASKING: Final = re.compile(r'<form (?![^>]*method="post")[^>]*>')
"""A form that changes nothing, such as filters."""
REGION: Final = "region"
"""The block of a template that is the answer to a request of htmx."""
WORDS: Final = {"waiting_for_person": "waits for a person", "pending": "waiting", "outcome_unknown": "outcome unknown"}
TONES: Final = {
    "pending": ("waiting", "clock"),
    "approved": ("done", "check"),
    "approve": ("done", "check"),
    "rejected": ("refused", "cross"),
    "reject": ("refused", "cross"),
    "stopped": ("refused", "stop"),
    "open": ("waiting", "clock"),
    "replayed": ("done", "check"),
    "discarded": ("ended", "slash"),
    "released": ("done", "check"),
    "never stopped": ("ended", "minus"),
    "skipped": ("ended", "minus"),
    "soon": ("waiting", "clock"),
    "overdue": ("refused", "octagon"),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every page shows or needs beside its own matter."""

    now: datetime
    prefs: Preferences = field(default_factory=Preferences)
    principal: Principal | None = None
    token: str = ""
    """Goes with every form."""
    frame: bool = False
    """Inside Airflow: no top bar, nothing to send."""
    waiting: int = 0
    """Questions that wait; the number that inbox, badge and metric share."""
    letters: int = 0
    stops: tuple[Switch, ...] = ()
    desks: tuple[str, ...] = ()
    path: str = "/"
    base: str = "/"
    """The address of all pages, as the browser asked for it; ends with a slash."""


@cache
def environment() -> Environment:
    """The templates; whatever they write is spelled and escaped."""
    made = Environment(
        loader=PackageLoader("tradeloop.web"),
        autoescape=True,
        finalize=finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "when": _when,
        "both": _both,
        "ago": _ago,
        "left": _left,
        "state": state,
        "said": said,
        "cut": cut,
        "span": span,
        "short": lambda value: str(value)[:8],
        "digest": short_digest,
        "pretty": pretty,
        "counted": count,
        "number": lambda value: "—" if value is None else f"{value:,}".replace("-", "−"),
    }
    made.globals |= {"asset": assets.address, "icon": icon, "isinstance_list": lambda value: isinstance(value, list)}
    return made


def page(template: str, around: Surroundings, values: Mapping[str, Any]) -> str:
    """The whole page."""
    return _kept_framed(environment().get_template(template).render(_context(around, values)), around)


def region(template: str, around: Surroundings, values: Mapping[str, Any], block: str = REGION) -> str:
    """One block of it."""
    found = environment().get_template(template)
    return _kept_framed("".join(found.blocks[block](found.new_context(_context(around, values)))), around)


def _kept_framed(text: str, around: Surroundings) -> str:
    """In Airflow's frame every address leads to a page that may be framed; any other one would be a blank."""
    if not around.frame:
        return text
    linked = LINK.sub(_framed, text)
    return ASKING.sub(lambda form: f'{form[0]}<input type="hidden" name="frame" value="1">', linked)


def _framed(link: re.Match[str]) -> str:
    start, path = link.groups()
    return link[0] if "frame=1" in path else f"{start}{path}{'&amp;' if '?' in path else '?'}frame=1"


def _context(around: Surroundings, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a template sees; the macros of `parts.html` are in `parts`, also where a block is rendered alone."""
    parts = environment().get_template("parts.html").make_module({"around": around})
    return {**values, "around": around, "parts": parts}


def icon(name: str, word: str = "") -> Markup:
    """An icon of the sprite; without a word it is decoration."""
    named = Markup(' role="img" aria-label="{}"').format(word) if word else Markup(' aria-hidden="true"')
    return Markup('<svg class="icon"{}><use href="{}#{}"/></svg>').format(named, assets.address("icons.svg"), name)


def state(word: object, more: str = "") -> Markup:
    """A state or an outcome: icon, word and colour together."""
    key = str(word)
    tone, name = TONES.get(key) or (tone_of(key).name, tone_of(key).icon)
    told = finalized(cut(WORDS.get(key, said(key)), 60))
    return Markup('<span class="state {}">{}{}{}</span>').format(tone, icon(name), told, finalized(more))


def short_digest(digest: str) -> str:
    """First 8 and last 4 digits, in groups of four: what two people compare on the telephone."""
    return f"{digest[:4]} {digest[4:8]} … {digest[-4:]}"


def pretty(value: object) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str, sort_keys=True)


def address_of(kind: str, identifier: UUID | str | int) -> str:
    """The page of one thing."""
    return f"/{kind}/{identifier}"


@pass_context
def _when(context: Context, at: datetime | None) -> Markup:
    around: Surroundings = context["around"]
    return times.when(at, around.prefs.tz, around.now)


@pass_context
def _both(context: Context, at: datetime | None) -> Markup:
    around: Surroundings = context["around"]
    return times.both(at, around.prefs.tz, around.now)


@pass_context
def _ago(context: Context, at: datetime | None) -> str:
    return times.ago(at, context["around"].now)


@pass_context
def _left(context: Context, at: datetime) -> str:
    return times.left(at, context["around"].now)
