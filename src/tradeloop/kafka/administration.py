"""Single topics: made, configured and counted, for measurements and for people who look after them."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from tradeloop.kafka.client import client_configuration

TIMEOUT_S: Final = 30.0


def make_topic(bootstrap: str, name: str, partitions: int = 1) -> None:
    """Make a topic, unless it is there."""
    admin = AdminClient(client_configuration(bootstrap))
    if name in admin.list_topics(timeout=TIMEOUT_S).topics:
        return
    created = admin.create_topics([NewTopic(name, num_partitions=partitions)], operation_timeout=TIMEOUT_S)
    created[name].result(timeout=TIMEOUT_S)


def configure_topic(bootstrap: str, name: str, option: str, value: str) -> None:
    """Set one option of a topic, such as `message.timestamp.type`."""
    entry = ConfigEntry(option, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin = AdminClient(client_configuration(bootstrap))  # must live until the answer: its end cancels the call
    admin.incremental_alter_configs([resource])[resource].result(timeout=TIMEOUT_S)


def records_of(bootstrap: str, name: str) -> int:
    """How many records the topic has taken in so far."""
    reader = Consumer(client_configuration(bootstrap, group_id="tradeloop-count", enable_auto_commit=False))
    try:
        partitions = reader.list_topics(name, timeout=TIMEOUT_S).topics[name].partitions
        ends = [reader.get_watermark_offsets(TopicPartition(name, part), timeout=TIMEOUT_S) for part in partitions]
        return sum(high for _, high in ends)
    finally:
        reader.close()
