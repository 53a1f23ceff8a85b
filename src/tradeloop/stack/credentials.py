"""The passwords and keys of one local stack, made once."""

from __future__ import annotations

import base64
import secrets
from dataclasses import asdict, dataclass, field, fields

from tradeloop.stack.home import Home, read_json, write_private


def _password() -> str:
    return secrets.token_hex(20)


def _signing_key() -> str:
    # At least as long as the digest of HS512, which Airflow signs its tokens with (RFC 7518, section 3.2).
    return secrets.token_hex(64)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _cluster_id() -> str:
    # Kafka's own form: 16 random bytes in URL-safe base 64; one that begins with "-" looks like an option.
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


@dataclass(frozen=True)
class Credentials:
    """Every secret of the stack; Kafka's cluster id is here too, because it identifies our broker."""

    postgres_password: str = field(default_factory=_password, repr=False)
    tradeloop_database_password: str = field(default_factory=_password, repr=False)
    airflow_database_password: str = field(default_factory=_password, repr=False)
    airflow_admin_password: str = field(default_factory=_password, repr=False)
    airflow_service_password: str = field(default_factory=_password, repr=False)
    airflow_jwt_secret: str = field(default_factory=_signing_key, repr=False)
    airflow_api_secret: str = field(default_factory=_password, repr=False)
    airflow_fernet_key: str = field(default_factory=_fernet_key, repr=False)
    kafka_cluster_id: str = field(default_factory=_cluster_id)


def load_credentials(home: Home) -> Credentials:
    """Read the secrets of this home; what is missing is made and kept."""
    stored = read_json(home.credentials_file)
    known = {f.name: str(stored[f.name]) for f in fields(Credentials) if f.name in stored}
    credentials = Credentials(**known)
    if asdict(credentials) != stored:
        write_private(home.credentials_file, asdict(credentials))
    return credentials
