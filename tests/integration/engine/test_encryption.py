"""With a key, nothing of an event, a checkpoint or a question can be read in the database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from gated import PLAIN, House, gated_workflow, wish
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate

from tradeloop.errors import SettingInvalid
from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.cipher import OPEN, Cipher
from tradeloop.store.database import Database
from tradeloop.store.sightings import Sightings

WORD = "Wintergreen"
EVERYTHING = """
SELECT string_agg(t, ' ') AS text FROM (
    SELECT encode(payload, 'escape') AS t FROM inbox
    UNION ALL SELECT encode(raw, 'escape') FROM dead_letters
    UNION ALL SELECT checkpoint::text || metadata::text FROM checkpoints
    UNION ALL SELECT encode(blob, 'escape') FROM checkpoint_blobs
    UNION ALL SELECT encode(blob, 'escape') FROM checkpoint_writes
    UNION ALL SELECT context::text FROM approvals) all_of_it
"""


@pytest.fixture
def cipher() -> Cipher:
    return Cipher((secrets.token_bytes(32),))


async def test_the_saver_conforms_in_full_with_encryption_on(database_url: str, cipher: Cipher) -> None:
    async with Database(database_url, cipher=cipher) as database:

        @checkpointer_test(name="tradeloop, encrypted")
        async def ours() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
            async with CheckpointStore(database) as saver:
                yield saver

        report = await validate(ours)
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert report.conformance_level() == "FULL"


async def test_a_waiting_run_can_be_answered_and_not_read(database_url: str, tmp_path: Path, cipher: Cipher) -> None:
    policy = tmp_path / "gate.yaml"
    async with Database(database_url, cipher=cipher) as database:
        house = House(database_url, database, policy, cipher=cipher)
        house.says(PLAIN)
        async with house.working(gated_workflow()):
            sent = wish(fact={"sentence": WORD}, note=WORD)
            house.arrivals.put(sent)
            (asked,) = await house.asked()
            assert asked.context["facts"][0]["sentence"] == WORD
            row = await database.row(EVERYTHING)
            assert row is not None
            assert WORD not in row["text"]
            await house.answer(asked)
            (run,) = await house.ended()
        assert run["effect"]["state"] == "executed"
        assert WORD.encode() in (await Sightings(database).find(str(sent.event_id))).payload
    async with Database(database_url) as blind:
        with pytest.raises(SettingInvalid, match="does not have"):
            await PostgresApprovals(blind).get(asked.approval_id)


def test_what_was_written_before_and_with_an_earlier_key_is_read() -> None:
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    old, new = Cipher((first,)), Cipher((second, first))
    assert new.open(b'{"clear": 1}') == b'{"clear": 1}'
    for data in (b"x", b"", b"{}" * 1000):
        assert new.open(old.close(data)) == data
        assert old.close(data) == old.close(data)
        assert new.close(data) != old.close(data)
    assert OPEN.close(b"x") == b"x"
    name, secret = old.encrypt(b"state")
    assert new.decrypt(name, secret) == b"state"


def test_altered_bytes_and_foreign_keys_are_told_and_never_opened() -> None:
    cipher = Cipher((secrets.token_bytes(32),))
    closed = bytearray(cipher.close(b"an event"))
    closed[-1] ^= 1
    with pytest.raises(SettingInvalid, match="altered"):
        cipher.open(bytes(closed))
    with pytest.raises(SettingInvalid, match="does not have"):
        Cipher((secrets.token_bytes(32),)).open(cipher.close(b"an event"))
    name, secret = cipher.encrypt(b"state")
    with pytest.raises(SettingInvalid, match="altered"):
        cipher.decrypt(name, secret[:-1] + bytes([secret[-1] ^ 1]))
    with pytest.raises(SettingInvalid, match="not ours"):
        cipher.decrypt("aes", secret)


@pytest.mark.parametrize("text", ["", "zz", "ab" * 16, "# only a remark\n"])
def test_a_file_that_holds_no_key_is_refused_without_a_word_of_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(SettingInvalid) as refused:
        Cipher.from_file(path)
    assert text.strip() == "" or text.strip() not in str(refused.value)
    with pytest.raises(SettingInvalid):
        Cipher.from_file(tmp_path / "absent")
