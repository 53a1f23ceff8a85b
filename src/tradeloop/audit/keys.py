"""Ed25519 keys of the seals, in PEM files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tradeloop.errors import SettingInvalid

KEY_ID_DIGITS: Final = 16
SIGNED: Final = b"tradeloop.audit.seal.v1\x00"
"""Begins what is signed, so that no signature of ours can be taken for one of something else."""
HOME_KEY: Final = "audit.key"
"""The development key of a local stack, in its home."""
RAW: Final = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
PEM: Final = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that seals are checked with."""

    key: Ed25519PublicKey

    @property
    def id(self) -> str:
        """The first 16 hex digits of the sha256 of the key's 32 bytes."""
        return sha256(self.key.public_bytes(*RAW)).hexdigest()[:KEY_ID_DIGITS]

    @property
    def pem(self) -> str:
        """As in a file."""
        return self.key.public_bytes(*PEM).decode()

    def signed(self, header: str, signature: bytes) -> bool:
        """Whether this key signed the seal's header."""
        try:
            self.key.verify(signature, SIGNED + header.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that seals are signed with."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.key.public_key())

    def sign(self, header: str) -> bytes:
        """64 bytes."""
        return self.key.sign(SIGNED + header.encode())


def new_key(file: Path) -> SigningKey:
    """Make a key pair: the private half into `file`, mode 0600, the public one into `file`.pub.

    Raises:
        SettingInvalid: the file is there already, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(text)
        made = SigningKey(key)
        public_file(file).write_text(made.public.pem)
    except FileExistsError as problem:
        raise SettingInvalid(f"{file} is there already; a key is never written over.", hint="name another file") from (
            problem
        )
    except OSError as problem:
        raise SettingInvalid(f"{file} cannot be written: {problem.strerror}.") from problem
    return made


def public_file(file: Path) -> Path:
    """Where the public half of a key in `file` is kept."""
    return file.with_name(file.name + ".pub")


def load_signing_key(file: Path) -> SigningKey:
    """Read a private key.

    Raises:
        SettingInvalid: the file cannot be read, is no Ed25519 key in PEM, or others may read it.
    """
    data = _read(file)
    if file.stat().st_mode & 0o077:
        raise SettingInvalid(f"{file} can be read by others than its owner.", hint=f"chmod 600 {file}")
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise _no_key(file, "a private", problem) from problem
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(file, "a private")
    return SigningKey(key)


def load_public_keys(*files: Path) -> dict[str, PublicKey]:
    """Read public keys, one or more in each file, by id. Of a private key its public half is taken.

    Raises:
        SettingInvalid: a file cannot be read or holds no Ed25519 key in PEM.
    """
    found: dict[str, PublicKey] = {}
    for file in files:
        text = _read(file).decode("ascii", "replace")
        if "PRIVATE KEY" in text:
            key = load_signing_key(file).public
            found[key.id] = key
            continue
        keys = public_keys_in(text, str(file))
        if not keys:
            raise _no_key(file, "a public")
        found |= keys
    return found


def accepted_keys(key_file: Path | None, others: Iterable[str], home: Path) -> dict[str, PublicKey]:
    """The public keys that a process of ours checks with, by id: of the signing key, of former ones, and, where no key
    is set, of the development key in `home`. The private half is read only where its public file is missing.

    Raises:
        SettingInvalid: a file that is named cannot be read or holds no key.
    """
    files = [Path(name) for name in others]
    own = key_file or home / HOME_KEY
    if public_file(own).is_file():
        files.append(public_file(own))
    elif key_file is not None:
        files.append(key_file)
    return load_public_keys(*files)


def public_keys_in(text: str, where: str) -> dict[str, PublicKey]:
    """The public keys of a PEM text, by id.

    Raises:
        SettingInvalid: one is no Ed25519 key.
    """
    found: dict[str, PublicKey] = {}
    end = "-----END PUBLIC KEY-----"
    for block in text.split(end)[:-1]:
        start = block.find("-----BEGIN PUBLIC KEY-----")
        try:
            key = serialization.load_pem_public_key((block[max(0, start) :] + end + "\n").encode())
        except (ValueError, UnsupportedAlgorithm) as problem:
            raise _no_key(where, "a public", problem) from problem
        if not isinstance(key, Ed25519PublicKey):
            raise _no_key(where, "a public")
        public = PublicKey(key)
        found[public.id] = public
    return found


def check(keys: Mapping[str, PublicKey], key_id: str, header: str, signature: bytes) -> bool:
    """Whether the key of that id, which must be among `keys`, signed the header."""
    return key_id in keys and keys[key_id].signed(header, signature)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise SettingInvalid(
            f"{file} cannot be read: {problem.strerror}.", hint=f"tradeloop audit key new {file}"
        ) from problem


def _no_key(file: Path | str, kind: str, problem: Exception | None = None) -> SettingInvalid:
    cause = f" ({str(problem).splitlines()[0][:100]})" if problem and str(problem) else ""
    return SettingInvalid(
        f"{file} is not {kind} Ed25519 key in PEM{cause}.", hint="tradeloop audit key new FILE makes one"
    )
