"""Kafka: messages, producers, consumers. The only place that imports confluent_kafka."""
