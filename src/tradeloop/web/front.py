"""What every page does alike: who asks, what surrounds it, how it is answered, and how a failure is told in words."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast  # Any: values of templates
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from tradeloop.api.identity import Caller, caller_of, check_forgery, services_of
from tradeloop.api.services import Services
from tradeloop.domain.people import Principal
from tradeloop.domain.switches import Switch
from tradeloop.errors import Forbidden, NotFound, TradeloopError, Unauthenticated
from tradeloop.ports import Approvals
from tradeloop.store.overview import Overview
from tradeloop.web import headers, roles
from tradeloop.web.preferences import Preferences
from tradeloop.web.rendering import REGION, Surroundings, page, region
from tradeloop.web.troubles import Trouble, trouble_of
from tradeloop.web.verifying import Verifier

MAX_FORM: Final = 64_000
NAMED: Final = 5
"""People with a role that somebody lacks who are named."""
PRESENT: Final = timedelta(minutes=10)
"""How long an opened question counts as open; a hint, never a lock."""
MOST_PRESENT: Final = 2_000


@dataclass
class Presence:
    """Who opened which question a moment ago; of this process alone."""

    _seen: OrderedDict[tuple[UUID, str], datetime] = field(default_factory=OrderedDict)

    def note(self, approval: UUID, name: str, at: datetime) -> None:
        """Somebody opened it."""
        if (approval, name) in self._seen and at - self._seen[approval, name] < PRESENT:
            return
        self._seen[approval, name] = at
        while len(self._seen) > MOST_PRESENT:
            self._seen.popitem(last=False)

    def others(self, approval: UUID, name: str, now: datetime) -> list[tuple[str, datetime]]:
        """Who else has it open, and since when."""
        return [
            (who, at)
            for (which, who), at in self._seen.items()
            if which == approval and who != name and now - at < PRESENT
        ]

    def forget(self, approval: UUID, name: str) -> None:
        """They answered."""
        self._seen.pop((approval, name), None)


class Front:
    """The pages' side of the services."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.overview = Overview(services.database, services.settings.instance)
        self.presence = Presence()
        self.verifier = Verifier(services.settings)

    @property
    def approvals(self) -> Approvals:
        """The gate's store.

        Raises:
            NotFound: this installation has none.
        """
        if self.services.approvals is None:
            raise NotFound("this installation has no gate: nothing is asked of people.")
        return self.services.approvals

    @property
    def desks(self) -> tuple[str, ...]:
        """Desks of this installation, by name."""
        return tuple(sorted({workflow.desk for workflow in self.services.workflows.values()}))

    @property
    def ancestors(self) -> str:
        """Who may frame a page that is made for it."""
        settings = self.services.settings
        found = settings.web_frame_origins or [settings.airflow_url]
        origins = {f"{urlsplit(one).scheme}://{urlsplit(one).netloc}" for one in found if urlsplit(one).netloc}
        return " ".join(sorted(origins)) or "'none'"

    async def surroundings(self, request: Request) -> Surroundings:
        """What stands around a page; of a page without a session, nothing of the business."""
        caller = getattr(request.state, "caller", None)
        prefs, now = Preferences.read(request.cookies), datetime.now(UTC)
        frame = request.query_params.get("frame") == "1"
        if not isinstance(caller, Caller):
            return Surroundings(now=now, prefs=prefs, frame=frame, path=request.url.path)
        counts, stops = await asyncio.gather(self.overview.counts(), self.services.switches.all())
        cookies = self.services.cookies
        token = await cookies.token(request.cookies) if caller.by == "session" else ""
        return Surroundings(
            now=now,
            prefs=prefs,
            principal=caller.principal,
            token=token,
            frame=frame,
            waiting=counts.waiting,
            letters=counts.letters,
            stops=tuple(stops),
            desks=self.desks,
            path=request.url.path,
            base=str(request.base_url),
        )

    async def stopped(self, desk: str) -> Switch | None:
        """The stop that holds for a desk."""
        found = [one for one in await self.services.switches.all() if one.stopped]
        return next((one for one in found if one.scope in ("global", f"desk:{desk}")), None)


def front_of(request: Request) -> Front:
    """The front of the app that serves this request; made once."""
    state = request.app.state
    if not hasattr(state, "front"):
        state.front = Front(services_of(request))
    return cast(Front, state.front)


def person_of(request: Request) -> Principal:
    """Who asks; behind `admitted` there is always somebody."""
    return cast(Caller, request.state.caller).principal


async def admitted(request: Request) -> None:
    """Let a request through that its caller may make; a dependency of every page.

    Raises:
        Unauthenticated: nobody asks; the page's route sends them to the sign-in.
        Forbidden: the caller has none of the page's roles.
        Refusal: too many requests (429), or a forged one (403).
    """
    name = str(getattr(request.scope.get("route"), "name", ""))
    if name in roles.PUBLIC:
        return
    caller = await caller_of(request)
    front_of(request).services.limits.check(caller.principal.name)
    wanted = roles.ROLES.get(name, frozenset())
    if not caller.principal.has(*wanted):
        told = ", ".join(sorted(wanted)) or "nobody"
        known = await front_of(request).services.people.all()
        names = [one.name for one in known if one.kind == "person" and one.has(*wanted)][:NAMED]
        raise Forbidden(
            f"{caller.principal.name} lacks the role for this; it takes one of: {told}.",
            hint=f"ask {', '.join(names)}" if names else "tradeloop people list",
        )
    if request.method not in ("GET", "HEAD"):
        await check_forgery(request, (await form_of(request)).get("token", ""))


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent; of a field that came often the last one (see `every`)."""
    return dict(await _pairs(request))


async def every(request: Request, name: str) -> list[str]:
    """All values of one field."""
    return [value for key, value in await _pairs(request) if key == name]


async def _pairs(request: Request) -> list[tuple[str, str]]:
    if not hasattr(request.state, "form"):
        body = await request.body()
        text = body[:MAX_FORM].decode("utf-8", "replace")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=2_000)
        request.state.form = [(name, value.replace("\r\n", "\n").replace("\x00", "\ufffd")) for name, value in pairs]
    return cast(list[tuple[str, str]], request.state.form)


async def shown(
    request: Request,
    template: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    block: str = REGION,
    around: Surroundings | None = None,
) -> Response:
    """A page; for htmx its region alone."""
    front = front_of(request)
    known = around or await front.surroundings(request)
    is_fragment = request.headers.get("hx-request") == "true"
    text = region(template, known, values, block) if is_fragment else page(template, known, values)
    return HTMLResponse(text, status, headers.security(front.ancestors if known.frame else "'none'"))


def plain(request: Request, template: str, around: Surroundings, values: Mapping[str, Any]) -> Response:
    """A fragment that has no page of its own."""
    front = front_of(request)
    return HTMLResponse(
        page(template, around, values), headers=headers.security(front.ancestors if around.frame else "'none'")
    )


def seen(url: str) -> Response:
    """After a form was taken: a page of its own, so that reloading sends nothing twice."""
    return RedirectResponse(url, 303, headers.security())


def local(url: str, otherwise: str = "/") -> str:
    """An address of ours; another one is not followed."""
    parts = urlsplit(url)
    is_ours = url.startswith("/") and not url.startswith(("//", "/\\")) and not parts.netloc and url.isprintable()
    return url if is_ours else otherwise


class PageRoute(APIRoute):
    """A route whose failures are pages in words."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with the net beneath."""
        handler = super().get_route_handler()

        async def in_words(request: Request) -> Response:
            try:
                return await handler(request)
            except Unauthenticated as problem:
                return await _to_sign_in(request, problem)
            except (TradeloopError, HTTPException) as problem:
                return await told(request, trouble_of(problem))
            except RequestValidationError:
                return await told(
                    request, Trouble(404, "not_found", f"no page has the address {request.url.path[:200]}.")
                )

        return in_words


async def told(request: Request, trouble: Trouble) -> Response:
    """A failure as a page; where even the surroundings cannot be had, without them."""
    front = front_of(request)
    try:
        around = await front.surroundings(request)
    except TradeloopError:
        around = Surroundings(now=datetime.now(UTC), prefs=Preferences.read(request.cookies), path=request.url.path)
    response = await shown(request, "problem.html", {"problem": trouble}, status=trouble.status, around=around)
    for name, value in trouble.headers.items():
        response.headers[name] = value
    return response


async def _to_sign_in(request: Request, problem: Unauthenticated) -> Response:
    if request.method in ("GET", "HEAD") and request.headers.get("hx-request") != "true":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        frame = "&frame=1" if request.query_params.get("frame") == "1" else ""
        return RedirectResponse(f"/login?next={quote(here, safe='')}{frame}", 303, headers.security())
    return await told(request, trouble_of(problem))
