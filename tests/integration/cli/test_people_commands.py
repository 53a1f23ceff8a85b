"""tradeloop people and tradeloop keys, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

Call = Callable[..., tuple[int, str, str]]


def test_a_person_is_added_changed_listed_and_removed(call: Call) -> None:
    added = call(
        "people", "add", "anna.k", "--role", "viewer,approver", "--release", "fx:1000000:EUR", "--by", "root.r"
    )
    assert added[:2] == (0, "anna.k: person, approver, viewer, may release fx:1000000:EUR\n")
    assert call("people", "add", "ANNA.k")[0] == 5
    assert call("people", "add", "nightly", "--service", "--role", "service")[0] == 0
    assert call("people", "change", "anna.k", "--release", "*", "--json")[0] == 0

    [anna, nightly] = json.loads(call("people", "list", "--json")[1])
    assert anna["delegations"] == [{"desk": "*", "up_to": None, "currency": ""}]
    assert (nightly["kind"], nightly["roles"]) == ("service", ["service"])
    assert "fx" not in call("people", "list")[1]

    code, out, _ = call("people", "remove", "anna.k", "--yes")
    assert (code, out) == (0, "anna.k is inactive; 0 keys revoked\n")
    assert json.loads(call("people", "remove", "anna.k", "--yes", "--json")[1])["removed"] is True


def test_a_word_that_does_not_fit_is_told(call: Call) -> None:
    for words, said in (
        (("add", "anna", "--role", "boss"), "there is no role 'boss'; known: viewer"),
        (("add", "anna", "--role", "approver", "--release", "fx:lots"), "DESK:UP_TO:CUR is expected"),
        (("add", "admin"), "could be several people"),
        (("add", "bot", "--service", "--role", "approver"), "a service cannot be approver"),
        (("change", "anna"), "there is nobody called 'anna'"),
    ):
        code, _, err = call("people", *words)
        assert code in (2, 3)
        assert said in err
    call("people", "add", "anna")
    assert "nothing to change" in call("people", "change", "anna")[2]
    assert call("people", "change", "anna", "--inactive")[1] == "anna: person, no role, inactive\n"


def test_a_key_is_shown_once_or_written_for_its_owner_alone(call: Call, tmp_path: Path) -> None:
    call("people", "add", "anna.k", "--role", "viewer")
    code, shown, err = call("keys", "new", "anna.k", "--label", "laptop")
    assert (code, shown[:4]) == (0, "tlk_")
    assert "never shown again" in err

    file = tmp_path / "anna.key"
    made = json.loads(call("keys", "new", "anna.k", "--out", str(file), "--json")[1])
    assert "key" not in made
    assert file.read_text().startswith(f"tlk_{made['id']}_")
    assert file.stat().st_mode & 0o777 == 0o600
    assert call("keys", "new", "anna.k", "--out", str(file))[0] == 5
    assert call("keys", "new", "anna.k", "--out", str(tmp_path / "no" / "folder"))[0] == 2

    listed = call("keys", "list", "--of", "anna.k")[1]
    assert "laptop" in listed
    assert shown.strip() not in listed
    assert call("keys", "revoke", shown.strip())[0] == 0
    assert call("keys", "revoke", made["id"], "--json")[0] == 0
    assert call("keys", "revoke", made["id"])[0] == 5
    assert {key["state"] for key in json.loads(call("keys", "list", "--json")[1])} == {"revoked"}


def test_no_file_stays_behind_for_a_key_that_was_not_made(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "ben.key"
    assert call("keys", "new", "ben.o", "--out", str(file))[0] == 3
    assert not file.exists()
    assert call("keys", "new", "ben.o", "--label", "x" * 101)[0] == 2
