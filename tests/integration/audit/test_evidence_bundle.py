"""The evidence bundle: complete, readable by a stranger, and found out when any byte is changed."""

from __future__ import annotations

import io
import json
import random
import zipfile
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from auditing import DECISION, EVENT, Chain, decided, files_of
from tradeloop.audit.bundle import make, verify_bundle
from tradeloop.audit.findings import Report
from tradeloop.audit.keys import new_key
from tradeloop.audit.page import UNTRUSTED
from tradeloop.domain.runs import new_run_id
from tradeloop.errors import Ambiguous, NotFound, NotYet, UsageInvalid
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.audit_evidence import make_bundle


async def bundled(chain: Chain) -> bytes:
    _, decision_id = await decided(chain)
    await chain.seal()
    return (await make_bundle(chain.database, str(decision_id)[:12], chain.keys))[1]


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def words_of(report: Report) -> str:
    return " | ".join(f"{one.kind.value}: {one.words}" for one in report.findings)


async def test_a_bundle_has_everything_about_one_decision_and_verifies_by_itself(chain: Chain) -> None:
    claim, decision_id = await decided(chain)
    await chain.seal()
    run_id, data = await make_bundle(chain.database, str(decision_id), chain.keys)
    report = verify_bundle(data, chain.keys)
    assert (words_of(report), run_id, report.records, report.signed) == ("", claim.run_id, 4, 1)
    files = files_of(data)
    assert set(files) == {
        "VERIFY.txt", "action.json", "bundle.json", "chain.json", f"events/{claim.event_id}.json",
        "facts/findings.json", "index.html", "public-key.pem", "roots.json",
    }  # fmt: skip
    assert DECISION.action is not None
    assert sha256(files["action.json"]).hexdigest() == DECISION.action.digest
    assert files[f"events/{claim.event_id}.json"] == EVENT
    assert json.loads(files["facts/findings.json"]) == DECISION.findings
    summary = json.loads(files["bundle.json"])
    assert (summary["decision_id"], summary["decision"]["outcome"]) == (str(decision_id), "ESCALATE")
    assert "Non-repudiation" in summary["not_claimed"]
    kinds = [record["kind"] for record in json.loads(files["chain.json"])]
    assert kinds == ["approval_asked", "approval_answered", "run_done", "run_cancel_asked"]
    assert (await make_bundle(chain.database, str(claim.run_id), chain.keys))[1] == data, "the same, byte for byte"


async def test_the_page_shows_what_people_and_models_said_and_obeys_none_of_it(chain: Chain) -> None:
    page = files_of(await bundled(chain))["index.html"].decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "⟨U+202E⟩" in page
    assert (UNTRUSTED in page, "default-src 'none'" in page, "http" not in page.replace("http-equiv", "")) == (
        True,
    ) * 3
    for said in ("anna.k", "feed B says 68.92", "rule md-04 asks", "22 of 22 &lt;sessions&gt;", "F-01", "2009-07"):
        assert said in page, said


async def test_any_changed_byte_of_a_bundle_is_found(chain: Chain) -> None:
    data = await bundled(chain)
    drawn = random.Random(7)
    for place in drawn.sample(range(len(data)), 300):
        changed = data[:place] + bytes([data[place] ^ (1 << drawn.randrange(8))]) + data[place + 1 :]
        try:
            report = verify_bundle(changed, chain.keys)
        except UsageInvalid:
            continue
        assert not report.is_whole, place
    for short in (data[:-1], data[: len(data) // 2], data + b"x"):
        assert not verify_bundle(short, chain.keys).is_whole
    with pytest.raises(UsageInvalid, match="no bundle"):
        verify_bundle(b"rubbish", chain.keys)


async def test_a_bundle_that_was_changed_with_care_is_found(chain: Chain, tmp_path: Path) -> None:
    files = files_of(await bundled(chain))

    def after(**changes: object) -> str:
        given = files | {name: text for name, text in changes.items() if isinstance(text, bytes)}
        return words_of(verify_bundle(packed(given), chain.keys))

    def with_file(name: str, old: bytes, new: bytes) -> str:
        assert old in files[name], name
        return words_of(verify_bundle(packed(files | {name: files[name].replace(old, new)}), chain.keys))

    assert after() == "changed: the ZIP itself was changed or packed anew; the files in it are right"
    assert "index.html is not what the records make" in with_file("index.html", b"anna.k", b"mallory")
    assert "VERIFY.txt is not" in with_file("VERIFY.txt", b"firm.pub", b"evil.pub")
    assert "bundle.json is not" in with_file("bundle.json", b"ESCALATE", b"ACCEPT")
    assert "action.json is not" in with_file("action.json", b"12.40", b"99.40")
    assert "facts/findings.json is not" in with_file("facts/findings.json", b"0.12", b"0.99")
    assert "its proof does not lead" in with_file("chain.json", b"anna.k", b"mallory")
    assert "the text 'comment' is not what was recorded" in with_file("chain.json", b"68.92", b"99.99")
    assert "signature is not by key" in with_file("roots.json", b'\\"seal\\":1', b'\\"seal\\":2')
    [event] = [name for name in files if name.startswith("events/")]
    assert "is not the event that was decided" in with_file(event, b"ACME", b"EVIL")
    without = {name: data for name, data in files.items() if name != event}
    assert "bundle.json is not" in words_of(verify_bundle(packed(without), chain.keys))
    assert "unreadable" in words_of(verify_bundle(packed({"bundle.json": b"{}"}), chain.keys))
    chained = json.loads(files["chain.json"])
    del chained[2]["clear"]["evidence"]
    gone = packed(files | {"chain.json": json.dumps(chained).encode()})
    assert "'evidence' is gone, and no erasure" in words_of(verify_bundle(gone, chain.keys))
    mine = new_key(tmp_path / "mine").public
    assert "none of the given" in words_of(verify_bundle(packed(files), {mine.id: mine}))


async def test_a_bundle_with_the_key_of_a_forger_is_found_by_the_firms_key(chain: Chain, tmp_path: Path) -> None:
    forger = Chain(chain.database, new_key(tmp_path / "forger"))
    _, decision_id = await decided(chain)
    await forger.seal()
    _, data = await make_bundle(chain.database, str(decision_id), forger.keys)
    report = verify_bundle(data, {})
    assert (report.is_whole, "proves nothing about who made it" in report.notes[0]) == (True, True)
    assert not verify_bundle(data, chain.keys).is_whole


async def test_a_bundle_says_what_it_cannot_be_made_of(chain: Chain) -> None:
    claim, decision_id = await decided(chain)
    with pytest.raises(NotYet, match="has no seal yet"):
        await make_bundle(chain.database, str(decision_id), chain.keys)
    await chain.seal(signed=False)
    _, data = await make_bundle(chain.database, str(decision_id), {})
    report = verify_bundle(data, {})
    assert (report.is_whole, "not signed" in report.notes[0]) == (True, True)
    with pytest.raises(NotFound):
        await make_bundle(chain.database, str(uuid4()), chain.keys)
    other, _ = await decided(chain)
    with pytest.raises(Ambiguous):
        await make_bundle(chain.database, str(other.run_id)[:4], chain.keys)
    await chain.database.rows("DELETE FROM audit WHERE stream_id = %s", (claim.run_id,))
    with pytest.raises(NotFound, match="no record"):
        await make_bundle(chain.database, str(decision_id), chain.keys)


async def test_an_undecided_run_has_a_bundle_of_what_there_is(chain: Chain) -> None:
    run_id = await chain.write(new_run_id(), "approval_asked", digest="7f3a91c2")
    await chain.seal()
    _, data = await make_bundle(chain.database, str(run_id), chain.keys)
    assert verify_bundle(data, chain.keys).is_whole
    assert b"Nothing was decided when this was made" in files_of(data)["index.html"]


async def test_texts_are_erased_without_breaking_chain_or_bundle(chain: Chain) -> None:
    claim, decision_id = await decided(chain)
    await chain.seal()
    store = PostgresAuditChain(chain.database)
    texts = await store.clear_texts(claim.run_id, (1, 9), [])
    assert [(one.n, one.kind, one.key) for one in texts] == [
        (1, "approval_asked", "reason"), (2, "approval_answered", "comment"), (3, "run_done", "evidence"),
    ]  # fmt: skip
    assert await store.erase(claim.run_id, (2, 3), [], by="dpo", reason="request 17") == [
        (2, "comment"), (3, "evidence"),
    ]  # fmt: skip
    assert await store.erase(claim.run_id, (2, 3), [], by="dpo", reason="again") == []
    await chain.seal()
    report = await chain.verify()
    assert (report.is_whole, report.erased) == (True, 2)
    _, data = await make_bundle(chain.database, str(decision_id), chain.keys)
    assert words_of(verify_bundle(data, chain.keys)) == ""
    files = files_of(data)
    assert b"68.92" not in data
    assert b"ACME" in data, "the event's bytes are the inbox's, and have a time of their own"
    assert "action.json" not in files
    page = files["index.html"].decode()
    for said in ("anna.k", "ESCALATE", DECISION.action.digest if DECISION.action else "", "<i>erased</i>", "dpo"):
        assert said in page, said
    await chain.database.rows("DELETE FROM audit_clear WHERE stream_id = %s AND n = 1", (claim.run_id,))
    assert await chain.found() == [("missing", f"{claim.run_id} 1")]


async def test_a_changed_added_or_exchanged_clear_text_is_found(chain: Chain) -> None:
    await chain.write(reason="because", note="n")
    await chain.seal()
    for change in (
        "UPDATE audit_clear SET text = '\"otherwise\"' WHERE key = 'reason'",
        "UPDATE audit_clear SET salt = '\\x00' WHERE key = 'note'",
        "INSERT INTO audit_clear SELECT stream_id, n, 'more', salt, text FROM audit_clear WHERE key = 'note'",
    ):
        await chain.database.rows(change)
    found = {one.words for one in (await chain.verify()).findings}
    assert {"the text 'reason' is not what was recorded", "a text 'more' that the record does not have"} <= found


def test_a_bundle_of_nothing_is_refused(chain: Chain) -> None:
    from tradeloop.audit.material import Material

    empty = make(Material(run_id=uuid4(), records=(), seals={}))
    assert "no record of run" in words_of(verify_bundle(empty, {}))
