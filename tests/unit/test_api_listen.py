"""Addresses as the flags give them."""

import socket

import pytest

from agent.api.listen import Address
from agent.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        (":3030", "", 3030, ":3030"),
        ("127.0.0.1:0", "127.0.0.1", 0, "127.0.0.1:0"),
        ("localhost:3030", "localhost", 3030, "localhost:3030"),
        ("[::1]:3030", "::1", 3030, "[::1]:3030"),
        ("[::]:1", "::", 1, "[::]:1"),
    ],
)
def test_an_address_is_read(text, host, port, shown):
    address = Address.parse("listen", text)
    assert (address.host, address.port, str(address)) == (host, port, shown)


@pytest.mark.parametrize("text", ["", "3030", "host", "host:", ":http", ":-1", ":65536", "::1:3030", ":٣", "[::1]"])
def test_what_is_no_address_is_refused_with_its_flag(text):
    with pytest.raises(UsageError, match=r"--listen-grpc=.* is no address"):
        Address.parse("listen-grpc", text)


def test_without_a_host_both_families_are_listened_on():
    with Address.parse("listen", ":0").bind() as listener:
        port = listener.getsockname()[1]
        hosts = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
        for host in hosts:
            socket.create_connection((host, port), timeout=5).close()


def test_a_taken_address_is_refused_with_the_flag_that_changes_it():
    with Address.parse("listen", "127.0.0.1:0").bind() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}: ") as caught:
            Address.parse("listen", f"127.0.0.1:{port}").bind()
    assert caught.value.hint == "choose another address with --listen"
