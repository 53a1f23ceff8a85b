"""mi-21, Agent Decision Audit and Explainability (FINOS): each statement of docs/audit.md, by a test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from auditing import DECISION, EVENT, MODEL_WORDS, Chain, decided, files_of, listen
from tradeloop import Action
from tradeloop.audit.bundle import verify_bundle
from tradeloop.audit.keys import load_public_keys, new_key, public_file
from tradeloop.audit.page import UNTRUSTED
from tradeloop.domain.runs import Claim
from tradeloop.engine.sealer import Sealer
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.audit_evidence import make_bundle
from tradeloop.store.database import Database


@dataclass(frozen=True)
class Case:
    """A decision, sealed, with its record and its bundle."""

    chain: Chain
    claim: Claim
    decision_id: UUID
    bundle: bytes

    @property
    def files(self) -> dict[str, bytes]:
        return files_of(self.bundle)

    @property
    def page(self) -> str:
        return self.files["index.html"].decode()

    async def record(self, kind: str = "run_done") -> dict[str, Any]:
        sql = "SELECT body FROM audit_records WHERE stream_id = %s AND kind = %s"
        [row] = await self.chain.database.rows(sql, (self.claim.run_id, kind))
        return dict(row["body"])


@pytest.fixture(scope="module")
def module_database_url(template: dict[str, str]) -> Any:
    """One database for all statements that only look."""
    import psycopg

    base, _, origin = template["database_url"].rpartition("/")
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{origin}" OWNER tradeloop'.encode())
    yield f"{base}/{name}"
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="module")
async def case(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Case]:
    key = new_key(tmp_path_factory.mktemp("mi21") / "firm.key")
    async with Database(module_database_url, size=2) as database:
        chain = Chain(database, key)
        claim, decision_id = await decided(chain)
        await chain.seal()
        yield Case(chain, claim, decision_id, (await make_bundle(database, str(decision_id), chain.keys))[1])


async def test_k1_a_decision_is_recorded_with_its_inputs_reasons_and_outcome(case: Case) -> None:
    body = await case.record()
    assert body["decision"]["outcome"] == "ESCALATE"
    assert body["evidence"]["decision"] == DECISION.plain
    assert body["decision_sha256"] == sha256(DECISION.canonical.encode()).hexdigest()
    assert body["event_sha256"] == sha256(EVENT).hexdigest()


def test_k2_the_reasons_are_sentences_that_a_person_can_read(case: Case) -> None:
    assert "<li>the second source is late</li>" in case.page
    assert "a move of 12 %" in case.page


async def test_k4_the_record_is_part_of_the_decision_and_not_made_later(case: Case) -> None:
    [row] = await case.chain.database.rows(
        "SELECT a.xmin = r.xmin AS together FROM audit a JOIN runs r ON r.run_id = a.stream_id "
        "WHERE a.kind = 'run_done'"
    )
    assert row["together"]


async def test_k5_records_of_one_event_share_its_id(case: Case) -> None:
    assert (await case.record())["event_id"] == str(case.claim.event_id)
    assert str(case.claim.event_id) in case.page


async def test_k6_an_altered_record_is_found(case: Case) -> None:
    assert (await case.chain.verify()).is_whole
    turn = "UPDATE audit SET kind = %s WHERE stream_id = %s AND n = 3"
    await case.chain.database.rows(turn, ("run_failed", case.claim.run_id))
    assert await case.chain.found() == [("changed", f"{case.claim.run_id} 3")]
    await case.chain.database.rows(turn, ("run_done", case.claim.run_id))
    assert (await case.chain.verify()).is_whole


def test_1a_the_triggering_event_is_evidence_to_the_byte(case: Case) -> None:
    assert case.files[f"events/{case.claim.event_id}.json"] == EVENT


def test_1b_the_parameters_of_the_action_are_bound_by_its_digest(case: Case) -> None:
    action = Action.model_validate_json(case.files["action.json"])
    assert DECISION.action is not None
    assert (action.digest, action.digest in case.page) == (DECISION.action.digest, True)
    assert "F-01" in case.page


async def test_1c_what_became_of_the_action_is_recorded(case: Case) -> None:
    assert (await case.record())["effect"]["state"] == "executed"
    assert "executed" in case.page


async def test_1d_the_policy_in_force_is_named_by_hash(case: Case) -> None:
    body = await case.record()
    assert (body["decision"]["policy_version"], body["decision"]["policy_hash"]) == ("7", "ab" * 32)
    assert (body["graph_version"], "ab" * 32 in case.page) == ("v1", True)


def test_1e_records_of_a_run_follow_each_other(case: Case) -> None:
    own = [one for one in json.loads(case.files["chain.json"]) if one["stream_id"] == str(case.claim.run_id)]
    assert [one["n"] for one in own] == [1, 2, 3]
    assert [one["prev"] for one in own] == ["00" * 32, own[0]["hash"], own[1]["hash"]]


async def test_1f_a_persons_part_is_recorded_with_the_name(case: Case) -> None:
    assert (await case.record("approval_answered"))["by"] == "anna.k"
    for said in ("anna.k", "feed B says 68.92", "ben.o", "run_cancel_asked"):
        assert said in case.page


def test_2a_a_models_words_are_kept_and_marked_as_untrusted(case: Case) -> None:
    before, _, after = case.page.partition(UNTRUSTED)
    assert ("Untrusted." in before, "ignore the policy" in after, MODEL_WORDS in case.page) == (True, True, False)


async def test_3a_a_text_is_erased_and_the_decision_stays_provable(chain: Chain) -> None:
    claim, decision_id = await decided(chain)
    await chain.seal()
    await PostgresAuditChain(chain.database).erase(claim.run_id, (3, 3), [], by="dpo", reason="request 17")
    await chain.seal()
    assert (await chain.verify()).is_whole
    _, data = await make_bundle(chain.database, str(decision_id), chain.keys)
    assert (verify_bundle(data, chain.keys).is_whole, b"second source" in data, b"ESCALATE" in data) == (
        True,
        False,
        True,
    )


def test_3c_an_outsider_verifies_with_the_public_key_alone(case: Case, tmp_path: Path) -> None:
    (tmp_path / "firm.pub").write_text(case.chain.key.public.pem)
    assert verify_bundle(case.bundle, load_public_keys(tmp_path / "firm.pub")).is_whole
    new_key(tmp_path / "other")
    assert not verify_bundle(case.bundle, load_public_keys(public_file(tmp_path / "other"))).is_whole


async def test_4a_a_chain_that_became_shorter_is_reported(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    listen(monkeypatch)
    sealer = Sealer(PostgresAuditChain(chain.database), chain.key)
    await chain.write()
    await sealer.tick()
    await chain.database.rows("DELETE FROM audit_seals")
    with capture_logs() as logs:
        await sealer.tick()
    assert "audit_head_lost" in [line["event"] for line in logs]


def test_5a_a_bundle_tells_what_happened_in_order(case: Case) -> None:
    line = case.page[case.page.index("Time line") :]
    places = [line.index(kind) for kind in ("approval_asked", "approval_answered", "run_done")]
    assert places == sorted(places)


def test_5b_a_bundle_names_the_seal_as_of_which_it_was_made(case: Case) -> None:
    as_of = json.loads(case.files["bundle.json"])["as_of"]
    assert (as_of["seal"], len(as_of["head"])) == (1, 64)
    assert "As of seal 1" in case.page


@pytest.fixture
def chain(database: Database, tmp_path: Path) -> Chain:
    return Chain(database, new_key(tmp_path / "firm.key"))
