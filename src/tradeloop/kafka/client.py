"""What every Kafka client of ours is configured with."""

from __future__ import annotations

import logging
from typing import Any, Final  # Any: confluent_kafka's configuration

QUIET: Final = logging.getLogger("tradeloop.librdkafka")
"""librdkafka writes a line a reconnect to stderr; our own `kafka_did_not_answer` says it once."""
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


def client_configuration(bootstrap: str, **more: Any) -> dict[str, Any]:
    """The settings that producer, consumer and admin client share, and those of the caller.

    Keyword names have `_` for the dot of librdkafka's names.
    """
    return {
        "bootstrap.servers": bootstrap,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 1000,
        # Java's and kafka-python's: a subject is in one partition, whoever wrote it. Consumers ignore it.
        "partitioner": "murmur2_random",
        "logger": QUIET,
        **{name.replace("_", "."): value for name, value in more.items() if not name.endswith("_cb")},
        **{name: value for name, value in more.items() if name.endswith("_cb")},
    }
