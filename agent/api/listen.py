"""Addresses to listen on, as the flags give them: `:3030`, `127.0.0.1:0`, `[::1]:3030`."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from agent.model.errors import UsageError

_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; an empty host means every address of the machine, port 0 any free port.

    Attributes:
        flag: The flag it came from, to name it in errors.
        host: A name or an IP address, without brackets.
        port: The port.
    """

    flag: str
    host: str
    port: int

    @classmethod
    def parse(cls, flag: str, text: str) -> Address:
        """Read `host:port`.

        Raises:
            UsageError: It is none.
        """
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in host and bare == host):
            raise UsageError(f"--{flag}={text} is no address", hint="write it as host:port, :port or [ipv6]:port")
        return cls(flag, bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def for_grpc(self) -> str:
        """As gRPC wants it."""
        return str(self) if self.host else f"{'[::]' if socket.has_dualstack_ipv6() else '0.0.0.0'}:{self.port}"  # noqa: S104 # asked for

    def bind(self) -> socket.socket:
        """A listening socket; without a host one for IPv4 and IPv6 at once, where the machine has both.

        Raises:
            UsageError: The address cannot be listened on.
        """
        try:
            if not self.host and socket.has_dualstack_ipv6():
                return socket.create_server(
                    ("", self.port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
                )
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            return socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise self.refused(error.strerror or str(error)) from error

    def refused(self, reason: str) -> UsageError:
        """The error of an address that cannot be listened on."""
        return UsageError(f"cannot listen on {self}: {reason}", hint=f"choose another address with --{self.flag}")
