"""Which Kafka cluster answers at an address."""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tradeloop.errors import KafkaUnreachable


def cluster_id(bootstrap: str, timeout_s: float = 5.0) -> str:
    """The cluster's own id, which tells one broker at an address from another.

    Raises:
        KafkaUnreachable: nothing that speaks Kafka answered in time.
    """
    # The client's own complaints about a broker that is not up yet are the caller's to word.
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 500})
    try:
        return str(admin.list_topics(timeout=timeout_s).cluster_id or "")
    except KafkaException as problem:
        raise KafkaUnreachable(f"Kafka at {bootstrap} did not answer for {timeout_s:.0f} s.") from problem
