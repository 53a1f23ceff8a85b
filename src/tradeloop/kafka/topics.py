"""The three topics, made and checked; brokers never create them by accident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tradeloop.errors import KafkaUnreachable
from tradeloop.kafka.client import client_configuration
from tradeloop.settings import Settings

PARTITIONS: Final = 6
"""Fixed: adding some moves subjects to other partitions while their older events still wait."""
DAY_MS: Final = 86_400_000
TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how long it keeps its records."""

    name: str
    retention_days: int


def topics_of(settings: Settings) -> list[Topic]:
    """The topics that these settings name."""
    return [
        Topic(settings.events_topic, 7),
        Topic(settings.decisions_topic, 30),
        Topic(settings.dead_letters_topic, 90),
    ]


def create_topics(bootstrap: str, settings: Settings) -> list[str]:
    """Create the topics that are missing; returns their names.

    Raises:
        KafkaUnreachable: the broker did not answer.
    """
    admin = AdminClient(client_configuration(bootstrap))
    try:
        metadata = admin.list_topics(timeout=TIMEOUT_S)
        replicas = min(3, len(metadata.brokers))
        missing = [topic for topic in topics_of(settings) if topic.name not in metadata.topics]
        created = (
            admin.create_topics(
                [
                    NewTopic(
                        topic.name,
                        num_partitions=PARTITIONS,
                        replication_factor=replicas,
                        config={
                            "cleanup.policy": "delete",  # compaction would eat the older decisions of a subject
                            "retention.ms": str(topic.retention_days * DAY_MS),
                            "min.insync.replicas": str(max(1, replicas - 1)),
                            "unclean.leader.election.enable": "false",
                        },
                    )
                    for topic in missing
                ],
                operation_timeout=TIMEOUT_S,
            )
            if missing
            else {}
        )
        for future in created.values():
            future.result(timeout=TIMEOUT_S)
    except KafkaException as problem:
        raise KafkaUnreachable(f"Kafka at {bootstrap} did not answer: {problem}", hint="tradeloop doctor") from problem
    return [topic.name for topic in missing]


def topic_id(admin: AdminClient, name: str) -> UUID:
    """Kafka's id of the topic; a topic deleted and made again has another one."""
    described = admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)
    found = described.topic_id
    return UUID(
        int=(found.get_most_significant_bits() & (2**64 - 1)) << 64 | found.get_least_significant_bits() & (2**64 - 1)
    )


def missing_topics(bootstrap: str, settings: Settings) -> list[str]:
    """Names of our topics that the broker does not have.

    Raises:
        KafkaUnreachable: the broker did not answer.
    """
    try:
        known = AdminClient(client_configuration(bootstrap)).list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as problem:
        raise KafkaUnreachable(f"Kafka at {bootstrap} did not answer: {problem}", hint="tradeloop doctor") from problem
    return [topic.name for topic in topics_of(settings) if topic.name not in known]
