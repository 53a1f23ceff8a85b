"""API keys and browser sessions: how somebody proves who they are to the API."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tradeloop.domain.people import Principal

KEY_FORM: Final = re.compile(r"tlk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
SECRET_BYTES: Final = 32
"""Of a key and of a session: 256 random bits, so that a plain sha256 of them can be kept; nobody guesses through it."""
MAX_LABEL: Final = 100


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; its secret is not."""

    key_id: str
    principal: str
    label: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""
    last_used_at: datetime | None = None
    """To the minute."""

    def state_at(self, moment: datetime) -> str:
        """live, expired or revoked."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= moment else "live"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only moment at which its text exists."""

    key: ApiKey
    text: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A browser session that holds."""

    principal: Principal
    """As it stands at this moment."""
    signed_in_at: datetime
    """When the person proved who they are."""
    expires_at: datetime


def new_key_text() -> tuple[str, str]:
    """A key's id and its text, `tlk_ID_SECRET`."""
    key_id = secrets.token_hex(6)
    return key_id, f"tlk_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def key_id_of(text: str) -> str:
    """The id in a key's text; empty when it has not the form of a key."""
    found = KEY_FORM.fullmatch(text)
    return found[1] if found else ""


def digest_of_secret(text: str) -> bytes:
    """What is kept of a secret: sha256."""
    return hashlib.sha256(text.encode()).digest()
