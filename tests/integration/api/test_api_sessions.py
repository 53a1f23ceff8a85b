"""Browser sessions, tokens of an issuer, limits: the ways in, and what they refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_house import AUDIENCE, ISSUER, House, Issuer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.responses import Response

from tradeloop.api.keyset import KeySet
from tradeloop.api.limits import Buckets, Limits
from tradeloop.api.problems import Refusal
from tradeloop.api.sessions import PLAIN, SECURE, Cookies
from tradeloop.api.tokens import Tokens
from tradeloop.errors import PartUnreachable, SettingInvalid, Unauthenticated
from tradeloop.settings import Settings
from tradeloop.testing.people import MemoryPeople

ORIGIN = {"Origin": "http://api.test"}


async def signed_in(house: House, name: str) -> tuple[dict[str, str], str]:
    """Headers of a browser that has signed in, and its CSRF token."""
    response = Response()
    token = await house.services.cookies.open(response, name)
    cookie = response.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    return {"Cookie": cookie.partition(";")[0]}, token


async def test_a_session_reads_and_orders_with_its_token(house: House) -> None:
    browser, token = await signed_in(house, "otto.o")
    me = (await house.call("GET", "me", headers=browser)).json()
    assert (me["name"], me["by"]) == ("otto.o", "session")
    assert me["signed_in_at"]
    order = {"desk": "web", "reason": "a test"}
    sent = await house.call("POST", "switches/stop", headers=browser | ORIGIN | {"X-CSRF-Token": token}, json=order)
    assert sent.status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "origin"),
        ({"Origin": "https://evil.example"}, "origin"),
        ({"Origin": "null"}, "origin"),
        (ORIGIN, "csrf"),
        (ORIGIN | {"X-CSRF-Token": "0" * 64}, "csrf"),
        (ORIGIN | {"X-CSRF-Token": "ü".encode("latin-1").decode("latin-1")}, "csrf"),
    ],
)
async def test_an_order_that_another_site_could_send_is_refused(
    house: House, headers: dict[str, str], code: str
) -> None:
    browser, _ = await signed_in(house, "otto.o")
    raw = {name: value.encode("latin-1") for name, value in (browser | headers).items()}
    told = await house.call("POST", "switches/stop", headers=raw, json={"reason": "a test"})
    assert (told.status_code, told.json()["code"]) == (403, code)


async def test_a_token_of_another_session_is_refused(house: House) -> None:
    browser, _ = await signed_in(house, "otto.o")
    _, other = await signed_in(house, "otto.o")
    told = await house.call(
        "POST", "switches/stop", headers=browser | ORIGIN | {"X-CSRF-Token": other}, json={"reason": "a test"}
    )
    assert told.json()["code"] == "csrf"


async def test_a_cookie_that_was_altered_or_ended_opens_nothing(house: House) -> None:
    browser, _ = await signed_in(house, "vera.v")
    name, _, value = browser["Cookie"].partition("=")
    for wrong in (value[:-1], "a" + value, "", ".", value.partition(".")[0], "x" * 5000):
        assert (await house.call("GET", "me", headers={"Cookie": f"{name}={wrong}"})).status_code == 401
    response = Response()
    await house.services.cookies.close(response, {name: value})
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert (await house.call("GET", "me", headers=browser)).status_code == 401
    await house.services.cookies.close(Response(), {name: value})


async def test_a_wrong_key_is_not_made_good_by_a_session(house: House) -> None:
    browser, _ = await signed_in(house, "vera.v")
    told = await house.call("GET", "me", headers=browser | {"Authorization": "Bearer tlk_wrong"})
    assert told.status_code == 401


async def test_the_cookie_is_for_https_alone_where_the_address_is() -> None:
    people = MemoryPeople()
    from tradeloop.domain.people import Principal

    await people.add(Principal(name="anna.k"), by="x")
    for url, name in (("", PLAIN), ("http://127.0.0.1:8088", PLAIN), ("https://desk.firm.example", SECURE)):
        cookies = Cookies(people, Settings(api_url=url, _env_file=None))
        response = Response()
        await cookies.open(response, "anna.k")
        cookie = response.headers["set-cookie"]
        assert cookie.startswith(f"{name}=")
        assert ("Secure" in cookie) == (name == SECURE)
        assert "Domain" not in cookie


@pytest.mark.parametrize(
    ("url", "origin", "host", "is_ours"),
    [
        ("", "http://127.0.0.1:8088", "127.0.0.1:8088", True),
        ("", "http://localhost:8088", "127.0.0.1:8088", False),
        ("http://127.0.0.1:8088", "http://localhost:8088", "localhost:8088", True),
        ("http://127.0.0.1:8088", "http://localhost:9999", "localhost:8088", False),
        ("http://127.0.0.1:8088", "http://evil.example", "evil.example", False),
        ("https://desk.firm.example", "https://desk.firm.example", "inner:80", True),
        ("https://desk.firm.example", "http://desk.firm.example", "inner:80", False),
        ("https://desk.firm.example", None, "desk.firm.example", False),
        ("http://127.0.0.1:8088", "http://127.0.0.1:8088", "localhost:99999999", True),
        ("http://127.0.0.1:8088", "http://[x", "[x", False),
        ("", "http://[x", "", False),
    ],
)
def test_the_origin_is_that_of_the_address(url: str, origin: str | None, host: str, is_ours: bool) -> None:
    cookies = Cookies(MemoryPeople(), Settings(api_url=url, _env_file=None))
    cookies.check_origin("GET", None, host)
    if is_ours:
        cookies.check_origin("POST", origin, host)
    else:
        with pytest.raises(Refusal):
            cookies.check_origin("POST", origin, host)


def settings(**more: Any) -> Settings:
    return Settings(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, _env_file=None, **more)


def tokens(given: Settings) -> Tokens:
    return Tokens(KeySet(given), given)


async def test_keys_are_read_again_when_they_rotate(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path)
    given = tokens(settings(oidc_jwks_file=issuer.file))
    assert (await given.name_in(issuer.token("anna.k")))[0] == "anna.k"
    old = issuer.token("anna.k")
    issuer.key, issuer.key_id = rsa.generate_private_key(public_exponent=65537, key_size=2048), "two"
    issuer.publish()
    assert (await given.name_in(issuer.token("ben.o")))[0] == "ben.o"
    with pytest.raises(Unauthenticated):
        await given.name_in(old)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "PS256"])
async def test_other_asymmetric_keys_are_taken(tmp_path: Path, algorithm: str) -> None:
    import jwt

    key: Any = {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "PS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }[algorithm]()
    kind = jwt.get_algorithm_by_name(algorithm)
    issuer = Issuer(tmp_path)
    issuer.file.write_text(json.dumps({"keys": [json.loads(kind.to_jwk(key.public_key())) | {"kid": "one"}]}))
    given = tokens(settings(oidc_jwks_file=issuer.file))
    name, signed_in_at = await given.name_in(issuer.token("anna.k", algorithm=algorithm, key=key))
    assert (name, signed_in_at is not None) == ("anna.k", True)
    with pytest.raises(Unauthenticated):
        await given.name_in(issuer.token("anna.k"))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "YWE"}]}', '{"keys": [1]}']
)
async def test_without_a_key_nobody_is_let_in(tmp_path: Path, content: str) -> None:
    issuer = Issuer(tmp_path)
    issuer.file.write_text(content)
    with pytest.raises(PartUnreachable):
        await tokens(settings(oidc_jwks_file=issuer.file)).name_in(issuer.token("anna.k"))


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """An HTTP server with an issuer's keys, which counts its calls and can be away."""
    issuer = Issuer(tmp_path)
    state: dict[str, Any] = {"issuer": issuer, "calls": 0, "answer": lambda: (200, issuer.file.read_text())}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        state["calls"] += 1
        status, body = state["answer"]()
        head = f"HTTP/1.1 {status} X\r\nLocation: /other\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body.encode())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    state["url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    yield state
    server.close()
    await server.wait_closed()


async def test_keys_come_by_address_once_and_are_done_without_for_a_while(provider: dict[str, Any]) -> None:
    issuer, clock = provider["issuer"], [1000.0]
    given = settings(oidc_jwks_url=provider["url"])
    found = Tokens(KeySet(given, lambda: clock[0]), given)
    await asyncio.gather(*[found.name_in(issuer.token("anna.k")) for _ in range(5)])
    assert provider["calls"] == 1
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for number in range(20):  # invented ids do not make the issuer be asked
        with pytest.raises(Unauthenticated):
            await found.name_in(issuer.token("anna.k", key=stranger, kid=f"n{number}"))
    assert provider["calls"] == 1
    provider["answer"] = lambda: (500, "")
    clock[0] += 1000
    assert (await found.name_in(issuer.token("anna.k")))[0] == "anna.k"
    assert provider["calls"] == 2
    clock[0] += 3000
    with pytest.raises(PartUnreachable):
        await found.name_in(issuer.token("anna.k"))


@pytest.mark.parametrize("answer", [(302, ""), (200, "x" * 300_000), (200, "rubbish"), (404, "{}")])
async def test_an_issuer_that_answers_otherwise_lets_nobody_in(
    provider: dict[str, Any], answer: tuple[int, str]
) -> None:
    provider["answer"] = lambda: answer
    with pytest.raises(PartUnreachable):
        await tokens(settings(oidc_jwks_url=provider["url"])).name_in(provider["issuer"].token("anna.k"))
    assert provider["calls"] == 1


def test_an_issuer_without_audience_or_keys_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="OIDC_JWKS_URL"):
        KeySet(settings())
    given = Settings(oidc_issuer=ISSUER, oidc_jwks_file=tmp_path / "x", _env_file=None)
    with pytest.raises(SettingInvalid, match="OIDC_AUDIENCE"):
        tokens(given)


def test_a_bucket_gives_its_rate_and_forgets_who_rested() -> None:
    clock = [0.0]
    buckets = Buckets(2.0, 4.0, lambda: clock[0])
    assert [buckets.take("a") for _ in range(4)] == [0.0] * 4
    assert buckets.take("a") == 0.5
    assert buckets.take("b") == 0.0
    clock[0] = 0.5
    assert buckets.take("a") == 0.0
    clock[0] = 1000.0
    assert [bool(buckets.take("a")) for _ in range(5)] == [False] * 4 + [True]
    for number in range(30_000):
        buckets.take(str(number))
    assert len(buckets._left) <= 20_000


async def test_too_many_requests_and_too_many_wrong_keys_are_told_when_to_come_again(house: House) -> None:
    before = house.services.limits
    house.services.limits = Limits(1.0)
    try:
        told = [await house.call("GET", "me", "vera.v") for _ in range(6)]
        assert [one.status_code for one in told] == [200] * 4 + [429] * 2
        assert int(told[-1].headers["retry-after"]) >= 1
        assert told[-1].json()["code"] == "too_many"
        assert (await house.call("GET", "me", "otto.o")).status_code == 200
        wrong = [await house.call("GET", "me", headers={"Authorization": "Bearer tlk_x"}) for _ in range(140)]
        assert {one.status_code for one in wrong[:90]} == {401}
        assert 429 in {one.status_code for one in wrong[100:]}
    finally:
        house.services.limits = before


async def test_the_stream_tells_what_changes_and_ends_for_whom_it_is_closed(house: House) -> None:
    from tradeloop.api.routes import events

    app = house.app
    told: list[str] = []
    ended = asyncio.Event()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "method": "GET",
        "path": "/api/v1/events/stream",
        "raw_path": b"/api/v1/events/stream",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {house.keys['vera.v']}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("api.test", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }

    async def receive() -> dict[str, Any]:
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message.get("body", b"").decode())

    reading = asyncio.create_task(app(scope, receive, send))
    await until(lambda: any("refresh" in text for text in told))
    assert house.services.changes.count >= 1
    (claim,) = await house.take_in()
    await house.finish(claim)
    await until(lambda: any(str(claim.run_id) in text and "event: runs" in text for text in told))
    await house.call("POST", "switches/stop", "otto.o", json={"desk": "streamed", "reason": "a test"})
    await until(lambda: any("event: switches" in text for text in told))
    ended.set()
    await reading
    assert house.services.changes.count == 0
    assert events.HEARTBEAT_S <= 30


async def until(is_so: Any, within_s: float = 10.0) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not is_so():
        assert loop.time() < end
        await asyncio.sleep(0.05)


async def test_only_so_many_streams_are_open(house: House) -> None:
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        for _ in range(64):
            await stack.enter_async_context(house.services.changes.listening("vera.v"))
        refused = await house.call("GET", "events/stream", "vera.v")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
        (claim,) = await house.take_in()
        assert (await house.call("GET", f"events/{claim.event_id}/decision?wait_s=5", "vera.v")).status_code == 429
    assert isinstance(refused, httpx.Response)
