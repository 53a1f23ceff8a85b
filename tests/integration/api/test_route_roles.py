"""Every route against every role and every credential that does not hold."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from api_house import AUDIENCE, PEOPLE, House
from fastapi.routing import APIRoute

from tradeloop.api import access
from tradeloop.domain.people import Role

ROLE_NAMES = {role: name for name, (_, role, _) in PEOPLE.items()}


def routes(house: House) -> list[APIRoute]:
    return [
        route
        for route in house.app.routes
        if isinstance(route, APIRoute)
        and (route.path.startswith("/api") or route.name in ("livez", "readyz", "get_metrics"))
    ]


def filled(path: str) -> str:
    values = {"key": "0" * 64, "letter_id": "999999999", "event_type": "none", "desk": "none"}
    return re.sub(r"{(\w+)}", lambda found: values.get(found[1], str(uuid4())), path)


async def status_of(house: House, route: APIRoute, method: str, **more: Any) -> int:
    if route.name == "stream_changes" and more.get("who") and PEOPLE[more["who"]][1] in access.ROLES["stream_changes"]:
        return 200  # it would never end; test_api_stream reads it
    return (await house.call(method, filled(route.path), **more)).status_code


async def test_every_route_is_declared_and_nothing_else(house: House) -> None:
    found = {route.name for route in routes(house)}
    assert found == set(access.ROLES) | set(access.PUBLIC)
    assert not set(access.ROLES) & set(access.PUBLIC)


@pytest.mark.parametrize("role", list(Role))
async def test_a_route_takes_its_roles_and_no_other(house: House, role: Role) -> None:
    for route in routes(house):
        for method in sorted(route.methods):
            status = await status_of(house, route, method, who=ROLE_NAMES[role])
            is_allowed = route.name in access.PUBLIC or role in access.ROLES[route.name]
            assert (status not in (401, 403)) == is_allowed, (route.name, role, status)
            assert status < 500


def broken(house: House, token: str) -> dict[str, str]:
    head, body, signature = token.split(".")
    return {"forged": f"{head}.{body}.{'A' * len(signature)}", "cut": token[:-10], "empty": "..", "rubbish": "a.b.c"}


async def credentials(house: House) -> dict[str, str]:
    """Everything that does not hold, for somebody who has every role."""
    issuer = house.issuer
    public = jwt.algorithms.RSAAlgorithm.to_jwk(issuer.key.public_key())
    claims = {"iss": "x", "aud": AUDIENCE, "sub": "all.of", "exp": 4_000_000_000}
    if "all.of" not in house.keys:
        await house.add("all.of", *(set(Role) - {Role.SERVICE}))
        await house.add("was.here", Role.VIEWER)
        await house.services.people.remove("was.here", by="tests")
    expired = await house.services.people.new_key(
        "all.of", label="", expires_at=datetime.now(UTC) - timedelta(seconds=1), by="tests"
    )
    revoked = await house.services.people.new_key("all.of", label="", expires_at=None, by="tests")
    await house.services.people.revoke_key(revoked.key.key_id, by="tests")
    good = issuer.token("all.of")
    from cryptography.hazmat.primitives.asymmetric import rsa

    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "none": "",
        "wrong key": f"Bearer {house.keys['all.of'][:-4]}AAAA",
        "expired key": f"Bearer {expired.text}",
        "revoked key": f"Bearer {revoked.text}",
        "key of the inactive": f"Bearer {house.keys['was.here']}",
        "basic": "Basic YWxsLm9mOnNlY3JldA==",
        "no credential": "Bearer ",
        "expired": f"Bearer {issuer.token('all.of', exp=1_700_000_000)}",
        "without end": f"Bearer {issuer.token('all.of', exp=None)}",
        "not yet": f"Bearer {issuer.token('all.of', nbf=4_000_000_000)}",
        "foreign audience": f"Bearer {issuer.token('all.of', aud='other')}",
        "no audience": f"Bearer {issuer.token('all.of', aud=None)}",
        "foreign issuer": f"Bearer {issuer.token('all.of', iss='https://evil.example')}",
        "no issuer": f"Bearer {issuer.token('all.of', iss=None)}",
        "nameless": f"Bearer {issuer.token('')}",
        "none algorithm": f"Bearer {jwt.encode(claims, None, 'none')}",
        "none with signature": "Bearer " + jwt.encode(claims, None, "none") + good.rpartition(".")[2],
        "symmetric with the public key": f"Bearer {_symmetric(claims, public)}",
        "stranger's key": f"Bearer {issuer.token('all.of', key=stranger)}",
        "unknown key": f"Bearer {issuer.token('all.of', key=stranger, kid='two')}",
        "inactive": f"Bearer {issuer.token('was.here')}",
        "long": "Bearer " + "a" * 20_000,
        "deep": f"Bearer {_deep()}.e30.AAAA",
        "endless": f"Bearer {issuer.token('all.of', exp=float('inf'))}",
    } | {name: f"Bearer {token}" for name, token in broken(house, good).items()}


def _deep() -> str:
    import base64

    return base64.urlsafe_b64encode(b"[" * 11_000).decode().rstrip("=")


def _symmetric(claims: dict[str, Any], public: str) -> str:
    import base64
    import hashlib
    import hmac
    import json

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    signed = f"{part(json.dumps({'alg': 'HS256', 'kid': 'one'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.new(public.encode(), signed.encode(), hashlib.sha256).digest())}"


async def test_no_route_takes_what_does_not_hold(house: House) -> None:
    for name, given in (await credentials(house)).items():
        headers = {"Authorization": given} if given else {}
        for route in routes(house):
            if route.name in access.PUBLIC:
                continue
            for method in sorted(route.methods):
                told = await house.call(method, filled(route.path), headers=headers)
                assert told.status_code == 401, (name, route.name, told.text)
                assert told.headers["www-authenticate"].startswith("Bearer")
                assert told.json()["code"] == "unauthenticated"


async def test_a_good_token_proves_a_name_and_the_table_its_roles(house: House) -> None:
    told = await house.call("GET", "me", headers={"Authorization": f"Bearer {house.issuer.token('vera.v')}"})
    assert told.json() | {"signed_in_at": ""} == {
        "name": "vera.v",
        "kind": "person",
        "roles": ["viewer"],
        "delegations": [],
        "by": "token",
        "signed_in_at": "",
    }
    grants = house.issuer.token("vera.v", roles=["administrator"], scope="administrator")
    refused = await house.call(
        "POST", "switches/release", headers={"Authorization": f"Bearer {grants}"}, json={"reason": "x"}
    )
    assert refused.status_code == 403
    stranger = await house.call("GET", "me", headers={"Authorization": f"Bearer {house.issuer.token('nobody.n')}"})
    assert (stranger.status_code, stranger.json()["code"]) == (403, "forbidden")


async def test_a_role_that_is_taken_away_is_gone_at_once(house: House) -> None:
    await house.add("lee.l", Role.OPERATOR)
    assert (await house.call("GET", "runs", "lee.l")).status_code == 200
    principal = await house.services.people.find("lee.l")
    await house.services.people.change(principal.model_copy(update={"roles": frozenset()}), by="tests")
    assert (await house.call("GET", "runs", "lee.l")).status_code == 403
