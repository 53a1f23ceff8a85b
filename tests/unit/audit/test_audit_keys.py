"""Keys of the seals: made, read, refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tradeloop.audit.keys import (
    accepted_keys,
    check,
    load_public_keys,
    load_signing_key,
    new_key,
    public_file,
    public_keys_in,
)
from tradeloop.errors import SettingInvalid


def test_a_new_key_is_for_its_owner_alone_and_is_never_written_over(tmp_path: Path) -> None:
    made = new_key(tmp_path / "k")
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert load_signing_key(tmp_path / "k").public.id == made.public.id
    with pytest.raises(SettingInvalid, match="never written over"):
        new_key(tmp_path / "k")
    with pytest.raises(SettingInvalid, match="cannot be written"):
        new_key(tmp_path / "no" / "k")


def test_a_signature_is_of_one_header_by_one_key(tmp_path: Path) -> None:
    one, other = new_key(tmp_path / "a"), new_key(tmp_path / "b")
    keys = load_public_keys(public_file(tmp_path / "a"), tmp_path / "b")
    assert set(keys) == {one.public.id, other.public.id}
    signature = one.sign("header")
    assert check(keys, one.public.id, "header", signature)
    assert not check(keys, one.public.id, "another", signature)
    assert not check(keys, other.public.id, "header", signature)
    assert not check({}, one.public.id, "header", signature)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    new_key(tmp_path / "k")
    (tmp_path / "k").chmod(0o640)
    with pytest.raises(SettingInvalid, match="can be read by others") as found:
        load_signing_key(tmp_path / "k")
    assert found.value.hint.startswith("chmod 600")


@pytest.mark.parametrize("text", ["", "rubbish", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "k"
    file.write_text(text)
    file.chmod(0o600)
    for load in (load_signing_key, load_public_keys):
        with pytest.raises(SettingInvalid, match="Ed25519 key in PEM"):
            load(file)
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load_public_keys(tmp_path / "missing")


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    key = generate_private_key(SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "k").write_bytes(key.private_bytes(*form))
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(SettingInvalid, match="not a private Ed25519 key"):
        load_signing_key(tmp_path / "k")
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SettingInvalid, match="not a public Ed25519 key"):
        public_keys_in(pem.decode(), "p")


def test_keys_are_those_of_the_settings_or_else_of_the_home(tmp_path: Path) -> None:
    assert accepted_keys(None, [], tmp_path) == {}
    at_home = new_key(tmp_path / "audit.key").public.id
    assert list(accepted_keys(None, [], tmp_path)) == [at_home]
    own, former = new_key(tmp_path / "own").public.id, new_key(tmp_path / "former").public.id
    assert set(accepted_keys(tmp_path / "own", [str(tmp_path / "former.pub")], tmp_path)) == {own, former}
    public_file(tmp_path / "own").unlink()
    assert list(accepted_keys(tmp_path / "own", [], tmp_path)) == [own]
