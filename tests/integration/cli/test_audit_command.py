"""`tradeloop audit verify | export | heads | erase | key` and `tradeloop decisions bundle`, as people run them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tradeloop.audit.keys import load_signing_key
from tradeloop.domain.runs import new_run_id
from tradeloop.engine.sealer import Sealer
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.database import OPTIONS, Database

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def key(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert call("audit", "key", "new", "firm.key")[0] == 0
    monkeypatch.setenv("TRADELOOP_AUDIT_KEY_FILE", str(tmp_path / "firm.key"))
    return tmp_path / "firm.key"


@pytest.fixture
def seal(database_url: str, key: Path) -> Callable[[], int]:
    async def tick() -> int:
        async with Database(database_url, size=1) as database:
            return await Sealer(PostgresAuditChain(database), load_signing_key(key)).tick()

    return lambda: asyncio.run(tick())


@pytest.fixture
def run_id(database_url: str, seal: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> UUID:
    run_id = new_run_id()
    for number in range(3):
        change(database_url, "SELECT append_audit(%s, 'note', %s::jsonb)", run_id, json.dumps({"reason": f"r{number}"}))
    assert seal() == 3
    capsys.readouterr()
    return run_id


def change(url: str, sql: str, *arguments: Any) -> None:
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as connection:
        connection.execute(sql.encode(), arguments)


def test_a_whole_audit_is_verified_and_a_tampered_one_is_told_by_place(
    call: Call, run_id: UUID, database_url: str
) -> None:
    code, out, err = call("audit", "verify")
    assert (code, out.splitlines()[0]) == (0, "3 records, 1 seals (1 signed)")
    assert "keep the head elsewhere" in err
    report = json.loads(call("audit", "verify", "--json")[1])
    assert (report["whole"], report["records"], report["signed"]) == (True, 3, 1)
    assert call("audit", "verify", "--head", report["head"], "--since", "1h")[0] == 0
    code, out, _ = call("audit", "verify", "--head", "ab" * 32)
    assert (code, "truncated" in out) == (6, True)
    assert call("audit", "verify", "--head", "ab")[0] == 2
    change(database_url, "UPDATE audit SET kind = 'x' WHERE n = 2")
    code, out, _ = call("audit", "verify")
    assert (code, f"{run_id} 2" in out) == (6, True)
    [finding] = json.loads(call("audit", "verify", "--json")[1])["findings"]
    assert (finding["kind"], finding["stream_id"], finding["n"]) == ("changed", str(run_id), 2)
    heads = json.loads(call("audit", "heads", "--json")[1])
    assert (heads["head"], heads["last_verification"]["findings"]) == (report["head"], 1)
    assert "verified" in call("audit", "heads")[1]


def test_what_waits_and_what_is_unsigned_is_told(call: Call, database_url: str) -> None:
    change(database_url, "SELECT append_audit(%s, 'note', '{}')", new_run_id())
    out = call("audit", "heads")[1]
    for said in ("not signed", "1 records wait for a seal, the oldest of", "never verified"):
        assert said in out
    code, _, err = call("audit", "verify")
    assert (code, "1 records wait for their seal" in err) == (0, True)


def test_an_export_verifies_without_the_database(
    call: Call, run_id: UUID, key: Path, monkeypatch: pytest.MonkeyPatch, seal: Callable[[], int], database_url: str
) -> None:
    assert call("audit", "export", "-o", "all.jsonl", "--since", "1h")[:2] == (0, "all.jsonl  1 seals, 3 records\n")
    change(database_url, "SELECT append_audit(%s, 'note', '{}')", run_id)
    assert "1 records wait" in call("audit", "export", "-o", "all.jsonl")[2]
    seal()
    counts = json.loads(call("audit", "export", "-o", "all.jsonl", "--json")[1])
    assert (counts["seals"], counts["records"]) == (2, 4)
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", "rubbish")
    code, out, _ = call("audit", "verify", "all.jsonl", "--key", f"{key}.pub")
    assert (code, out.splitlines()[0]) == (0, "4 records, 2 seals (2 signed)")
    text = Path("all.jsonl").read_text()
    lines = text.splitlines()
    head = json.loads(lines[-1])["head"]
    for name, given in {
        "changed": text.replace('"kind":"note"', '"kind":"nota"', 1),
        "missing": "\n".join(line for line in lines if '"n":2' not in line),
        "reordered": "\n".join([*lines[:2], lines[4], lines[3], lines[2], *lines[5:]]).replace('"n":1,', '"n":3,', 1),
        "truncated": "\n".join(lines[:-1]),
        "signature_wrong": text.replace('\\"records\\":3', '\\"records\\":4', 1),
        "unreadable": text.replace('{"at"', "{'at'", 1),
        "inserted": "\n".join([*lines[:-1], lines[3], lines[-1]]),
    }.items():
        Path("bad.jsonl").write_text(given)
        found = json.loads(call("audit", "verify", "bad.jsonl", "--key", f"{key}.pub", "--json")[1])
        assert name in {one["kind"] for one in found["findings"]}, (name, found)
    assert call("audit", "verify", "all.jsonl", "--head", head)[0] == 0
    code, out, err = call("audit", "verify", "all.jsonl", "--head", "ab" * 32)
    assert (code, "truncated" in out, "signatures were not checked" in err) == (6, True, True)
    Path("no.jsonl").write_text("{}\n")
    for words, code in ((("no.jsonl",), 2), (("missing",), 3), (("all.jsonl", "--since", "1h"), 2)):
        assert call("audit", "verify", *words)[0] == code
    assert call("audit", "verify", "all.jsonl", "--key", "no.jsonl")[0] == 2


def test_a_bundle_verifies_with_the_public_key_alone(
    call: Call, run_id: UUID, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = call("decisions", "bundle", str(run_id)[:8], "-o", "e.zip")
    assert (code, out.startswith("e.zip"), "audit verify e.zip --key FIRM.pub" in err) == (0, True, True)
    made = json.loads(call("decisions", "bundle", str(run_id), "--json")[1])
    assert made["bytes"] == Path(made["file"]).stat().st_size
    assert call("decisions", "bundle", "ffff")[0] == 3
    for name in ("TRADELOOP_DATABASE_URL", "TRADELOOP_AUDIT_KEY_FILE"):
        monkeypatch.setenv(name, "rubbish")
    assert call("audit", "verify", "e.zip", "--key", f"{key}.pub")[0] == 0
    assert call("audit", "verify", "e.zip", "--head", "ab" * 32)[0] == 2
    data = bytearray(Path("e.zip").read_bytes())
    data[len(data) // 2] ^= 1
    Path("e.zip").write_bytes(data)
    assert call("audit", "verify", "e.zip", "--key", f"{key}.pub")[0] == 6


def test_texts_are_erased_by_a_person_who_says_why(call: Call, run_id: UUID) -> None:
    code, out, err = call("audit", "erase", str(run_id)[:8], "--dry-run")
    assert (code, out.count("reason"), "nothing was erased" in err) == (0, 3, True)
    assert call("audit", "erase", str(run_id))[0] == 2
    code, _, err = call("audit", "erase", str(run_id), "--by", "dpo", "--reason", "request 17")
    assert (code, "--yes" in err) == (2, True)
    words = ("audit", "erase", str(run_id), "--n", "2", "--part", "reason", "--by", "dpo", "--reason", "17", "--yes")
    assert [one["n"] for one in json.loads(call(*words, "--json")[1])["texts"]] == [2]
    assert "No text of these records is left" in call(*words)[2]
    assert call("audit", "erase", "ffff", "--dry-run")[0] == 3
    assert call("audit", "erase", "0" * 32, "--dry-run")[0] == 0
    report = json.loads(call("audit", "verify", "--json")[1])
    assert (report["whole"], report["erased"]) == (True, 1)


def test_a_key_is_made_once(call: Call) -> None:
    made = json.loads(call("audit", "key", "new", "k", "--json")[1])
    assert (made["public"], len(made["key_id"])) == ("k.pub", 16)
    code, _, err = call("audit", "key", "new", "k")
    assert (code, "never written over" in err) == (2, True)
