"""A small name server for the tests: SRV records over UDP on loopback, and counting what it is asked."""

from __future__ import annotations

import socketserver
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset


class NameServer:
    """Answers with `records`, SRV records by absolute name; stays silent while `silent` is set."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.silent = False
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                data, socket = self.request
                answer = outer.answer(dns.message.from_wire(data))
                if answer is not None:
                    socket.sendto(answer.to_wire(), self.client_address)

        self._server = socketserver.UDPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, query):
        name = query.question[0].name.to_text()
        self.asked.append(name)
        if self.silent:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name in self.records:
            answer.answer.append(dns.rrset.from_text(name, 1, "IN", "SRV", *self.records[name]))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def resolver(self) -> dns.resolver.Resolver:
        """One that asks this server only, in the search domain of the tests."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self._server.server_address[1]
        resolver.search = [dns.name.from_text("flux.svc.cluster.test.")]
        return resolver

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
