"""Ports are wanted, remembered, and never taken from somebody else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tradeloop.stack.ports import Ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_wanted_port_is_given_when_it_is_free() -> None:
    wanted, ports = free(), Ports()

    assert ports.choose("postgres", wanted) == wanted
    assert ports.notes == []


def test_taken_port_is_named_with_its_owner_and_another_is_given(taken: int) -> None:
    ports = Ports()

    port = ports.choose("postgres", taken)

    assert port != taken
    assert is_free(port)
    assert ports.notes[0].startswith(f"port {taken} is used by process {os.getpid()} (")
    assert ports.notes[0].endswith(f"; postgres has {port}")


def test_port_of_last_time_comes_before_the_wanted_one() -> None:
    wanted, last = free(), free()
    ports = Ports({"kafka": {"wanted": wanted, "port": last}})

    assert ports.choose("kafka", wanted) == last


def test_port_of_last_time_is_forgotten_when_another_is_wanted() -> None:
    wanted, last = free(), free()
    ports = Ports({"kafka": {"wanted": 9092, "port": last}})

    assert ports.choose("kafka", wanted) == wanted


def test_port_of_last_time_is_not_taken_from_its_new_owner(taken: int) -> None:
    ports = Ports({"kafka": {"wanted": 0, "port": taken}})

    assert ports.choose("kafka", 0) != taken


def test_two_parts_never_have_one_port() -> None:
    wanted, ports = free(), Ports()

    assert ports.choose("postgres", wanted) != ports.choose("kafka", wanted)


def test_port_that_listens_on_every_interface_is_taken() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104 - what a careless program does
        server.listen()

        assert not is_free(server.getsockname()[1])


def test_udp_port_is_probed_as_udp(taken: int) -> None:
    assert is_free(taken, udp=True)
