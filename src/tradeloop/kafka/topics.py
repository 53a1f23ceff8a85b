"""The three topics, made and checked; brokers never create them by accident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
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


def settings_of(topic: Topic, replicas: int) -> dict[str, str]:
    """What we ask of the topic; everything else is the broker's own affair."""
    return {
        "cleanup.policy": "delete",  # compaction would eat the older decisions of a subject
        "retention.ms": str(topic.retention_days * DAY_MS),
        "min.insync.replicas": str(max(1, replicas - 1)),
        "unclean.leader.election.enable": "false",
    }


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
        made = [
            NewTopic(
                topic.name, num_partitions=PARTITIONS, replication_factor=replicas, config=settings_of(topic, replicas)
            )
            for topic in missing
        ]
        created = admin.create_topics(made, operation_timeout=TIMEOUT_S) if made else {}
        for future in created.values():
            future.result(timeout=TIMEOUT_S)
    except KafkaException as problem:
        raise KafkaUnreachable(f"Kafka at {bootstrap} did not answer: {problem}", hint="tradeloop doctor") from problem
    return [topic.name for topic in missing]


def topic_faults(bootstrap: str, settings: Settings) -> dict[str, list[str]]:
    """What is wrong with each of our topics, by name; a topic that is well has an empty list.

    Raises:
        KafkaUnreachable: the broker did not answer.
    """
    admin = AdminClient(client_configuration(bootstrap))
    try:
        metadata = admin.list_topics(timeout=TIMEOUT_S)
        found: dict[str, list[str]] = {}
        for topic in topics_of(settings):
            if topic.name not in metadata.topics:
                found[topic.name] = ["does not exist"]
                continue
            partitions = metadata.topics[topic.name].partitions
            found[topic.name] = (
                [] if len(partitions) == PARTITIONS else [f"{len(partitions)} partitions, not {PARTITIONS}"]
            )
            resource = ConfigResource(ResourceType.TOPIC, topic.name)
            has = admin.describe_configs([resource])[resource].result(timeout=TIMEOUT_S)
            for name, wanted in settings_of(topic, min(3, len(metadata.brokers))).items():
                if name in has and has[name].value != wanted:
                    found[topic.name].append(f"{name} is {has[name].value}, not {wanted}")
    except KafkaException as problem:
        raise KafkaUnreachable(f"Kafka at {bootstrap} did not answer: {problem}", hint="tradeloop doctor") from problem
    return found


def topic_id(admin: AdminClient, name: str) -> UUID:
    """Kafka's id of the topic; a topic deleted and made again has another one."""
    described = admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)
    found = described.topic_id
    return UUID(
        int=(found.get_most_significant_bits() & (2**64 - 1)) << 64 | found.get_least_significant_bits() & (2**64 - 1)
    )
