"""Connections that stand between the plugin and an agent that is asked directly: made again, and not made at all."""

from __future__ import annotations

import socket
from http.client import HTTPConnection

import pytest
from plugin_standins import ApiServer, serving

from kubectl_flux import transport
from kubectl_flux.errors import UnreachableError
from kubectl_flux.transport import Link, Request, direct_link


class Closing(ApiServer):
    """Closes the connection after each answer, as proxies do now and then."""

    def handle(self, handler, _path, _body):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.send_header("Content-Length", "0")
        handler.end_headers()


def test_a_connection_that_is_made_again_waits_as_long_as_its_request():
    waited = []

    class Watched(HTTPConnection):
        def connect(self):
            waited.append(self.timeout)
            super().connect()

    with serving(Closing()) as url:
        link = Link(lambda _: Watched("127.0.0.1", int(url.rpartition(":")[2]), timeout=7.0), "the agent")
        for timeout in (20.0, 30.0):
            assert link.send(Request("/", {}), timeout).status == 200
        link.close()
    assert waited == [20.0, 30.0]


def test_an_address_that_does_not_answer_at_all_is_not_taken_for_one_without_tls(monkeypatch):
    def silent(*_args, **_more):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
    monkeypatch.setattr(transport, "HANDSHAKE", 3.0)
    with pytest.raises(UnreachableError) as told:
        direct_link("https://192.0.2.1").send(Request("/", {}), 60.0)
    assert (told.value.message, told.value.hint) == (
        "the agent at https://192.0.2.1 cannot be reached: no answer within 3 s",
        "",
    )
