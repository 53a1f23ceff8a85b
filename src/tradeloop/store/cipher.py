"""Encryption of what is kept while a run waits: events as received, checkpoints, what people are shown."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final  # Any: JSON

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from tradeloop.errors import SettingInvalid

MAGIC: Final = b"\x00tls1"
"""No JSON text begins so: what was written before there was a key is told from what was sealed."""
ID_BYTES: Final = 4
NONCE_BYTES: Final = 12
SEALED: Final = "$sealed"
SETTING: Final = "TRADELOOP_ENCRYPTION_KEY_FILE"


class Cipher(CipherProtocol):
    """Keys, of which the first closes and all open. Without keys nothing is closed, and only clear text opens.

    Events are sealed by AES-SIV (RFC 5297): equal events have equal bytes, which is how an id that comes again with
    other content is found; so it can be seen that two are equal, and nothing else. Checkpoints: AES-256-GCM.
    """

    def __init__(self, keys: tuple[bytes, ...] = ()) -> None:
        """`keys`: 32 bytes each."""
        self._keys = {_id_of(key): _Keys(key) for key in keys}
        self._first = _id_of(keys[0]) if keys else b""

    @classmethod
    def from_file(cls, path: Path | None) -> Cipher:
        """The keys of a file, 32 bytes as 64 hex digits a line, the one in use first; of None no keys.

        Raises:
            SettingInvalid: it cannot be read, or a line is no key. The message has nothing of the file in it.
        """
        if path is None:
            return cls()
        try:
            lines = [line.strip() for line in path.read_text("ascii").splitlines() if line.strip()]
            keys = tuple(binascii.unhexlify(line) for line in lines if not line.startswith("#"))
        except (OSError, ValueError) as problem:
            raise SettingInvalid(f"{SETTING}: {path} cannot be read as keys.", hint="64 hex digits a line") from problem
        if not keys or any(len(key) != 32 for key in keys):
            raise SettingInvalid(f"{SETTING}: {path} holds no key of 32 bytes.", hint="64 hex digits a line")
        return cls(keys)

    @property
    def closes(self) -> bool:
        """Whether anything is encrypted at all."""
        return bool(self._first)

    def close(self, data: bytes) -> bytes:
        """Cipher; equal data give equal bytes."""
        if not self._first or data.startswith(MAGIC):
            return data
        return MAGIC + self._first + self._keys[self._first].siv.encrypt(data or b"\x00", [MAGIC, bytes([not data])])

    def open(self, data: bytes) -> bytes:
        """Unseal; clear text as it is.

        Raises:
            SettingInvalid: there is no such key here, or the bytes were altered.
        """
        if not data.startswith(MAGIC):
            return data
        at = len(MAGIC) + ID_BYTES
        keys = self._keys_of(data[len(MAGIC) : at])
        for is_empty in (False, True):
            try:
                clear = keys.siv.decrypt(data[at:], [MAGIC, bytes([is_empty])])
                return b"" if is_empty else clear
            except InvalidTag:
                continue
        raise SettingInvalid("what is stored was altered, or sealed with another key.", hint=SETTING)

    def close_json(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON object, sealed as one with a single text in it."""
        if not self._first:
            return dict(value)
        return {SEALED: base64.b64encode(self.close(orjson.dumps(value))).decode()}

    def open_json(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Back from `close_json`; a clear object as it is."""
        if set(value) != {SEALED}:
            return dict(value)
        found: dict[str, Any] = orjson.loads(self.open(base64.b64decode(value[SEALED])))
        return found

    def serializer(self, plain: SerializerProtocol) -> SerializerProtocol:
        """LangGraph's serializer for checkpoints, encrypting where there is a key; it reads both kinds."""
        return EncryptedSerializer(self, plain)

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """CipherProtocol: name and bytes."""
        nonce = os.urandom(NONCE_BYTES)
        name = self._first.hex()
        return f"aesgcm-{name}", nonce + self._keys[self._first].gcm.encrypt(nonce, plaintext, name.encode())

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """CipherProtocol: back from it."""
        kind, _, name = ciphername.partition("-")
        if kind != "aesgcm":
            raise SettingInvalid(f"a checkpoint was encrypted by {ciphername!r}, which is not ours.")
        keys = self._keys_of(bytes.fromhex(name))
        try:
            return keys.gcm.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], name.encode())
        except InvalidTag as problem:
            raise SettingInvalid("a checkpoint was altered, or encrypted with another key.", hint=SETTING) from problem

    def _keys_of(self, key_id: bytes) -> _Keys:
        if key_id not in self._keys:
            raise SettingInvalid(
                f"what is stored is sealed with key {key_id.hex()}, which this process does not have.", hint=SETTING
            )
        return self._keys[key_id]


class _Keys:
    def __init__(self, key: bytes) -> None:
        self.siv = AESSIV(_derived(key, b"tradeloop events", 64))
        self.gcm = AESGCM(_derived(key, b"tradeloop checkpoints", 32))


def _derived(key: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(key)


def _id_of(key: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(b"tradeloop key id" + key)
    return digest.finalize()[:ID_BYTES]


OPEN: Final = Cipher()
"""Nothing is encrypted."""
