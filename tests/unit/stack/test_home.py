"""A home's secrets, its lock and its record."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tradeloop.stack.credentials import load_credentials
from tradeloop.stack.home import Home, HomeLock, read_json, write_private
from tradeloop.stack.lookup import settings_of
from tradeloop.stack.record import Owner, PartRecord, RecordKeeper, StackRecord, load_record


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path / "home")


def test_secrets_are_made_once_and_are_their_owners_alone(home: Home) -> None:
    first = load_credentials(home)

    assert load_credentials(home) == first
    assert stat.S_IMODE(home.credentials_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_secret_that_a_newer_release_needs_is_added_to_the_kept_ones(home: Home) -> None:
    first = load_credentials(home)
    stored = read_json(home.credentials_file)
    del stored["airflow_jwt_secret"]
    write_private(home.credentials_file, stored)

    second = load_credentials(home)

    assert second.postgres_password == first.postgres_password
    assert second.airflow_jwt_secret != first.airflow_jwt_secret


def test_no_secret_shows_in_a_representation(home: Home) -> None:
    credentials = load_credentials(home)

    assert credentials.airflow_fernet_key not in repr(credentials)
    assert credentials.postgres_password not in repr(credentials)


def test_only_one_holds_a_home(home: Home) -> None:
    first, second = HomeLock(home), HomeLock(home)

    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_broken_record_counts_as_none(home: Home) -> None:
    home.record_file.write_text('{"state": "up", "parts": ')

    assert load_record(home) == StackRecord()


def test_addresses_of_a_stack_whose_owner_is_gone_are_not_given(home: Home) -> None:
    record = StackRecord(
        state="up",
        owner=Owner.this_process("embedded"),
        parts={"postgres": PartRecord(name="postgres", label="", port=5432)},
        addresses={"kafka_bootstrap": "127.0.0.1:9092"},
    )
    RecordKeeper(home, record).save()
    while_it_lives = settings_of(home.root)
    record.owner.created_at -= 100  # the same pid, but another process
    RecordKeeper(home, record).save()

    assert while_it_lives["kafka_bootstrap"] == "127.0.0.1:9092"
    assert "127.0.0.1:5432/tradeloop" in while_it_lives["database_url"]
    assert settings_of(home.root) == {}


def test_record_is_its_owners_alone(home: Home) -> None:
    RecordKeeper(home, StackRecord()).save()

    assert stat.S_IMODE(home.record_file.stat().st_mode) == 0o600


def test_asking_for_addresses_makes_no_folder(tmp_path: Path) -> None:
    assert settings_of(tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()
