"""Google's registries: the access token that Google's machines get from their metadata server.

Elsewhere there is no such server, and Google's public images are asked for without a token: that is found out with one
short request every few minutes, and is no trouble to tell of.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.model.images import Reference
from agent.registry.clouds.answers import MAX_ANSWER, document_of, token_of
from agent.registry.clouds.renewed import Renewed
from agent.registry.errors import Cause, RegistryError
from agent.registry.records import Credential
from agent.registry.transport import Question, Transport

METADATA_HOST = "metadata.google.internal"
ABSENT = 300.0
"""Seconds for which there being no metadata server counts."""
LIFETIME = 300.0
"""Seconds that a token is good for where its server does not say."""
MAX_LIFETIME = 86_400.0
PATIENCE = 5.0
_WHO = "Google's metadata server"
_HINT = "the agent's ServiceAccount or node needs a Google service account that may read the registry"
_USER = "oauth2accesstoken"
_HOST = re.compile(r"(.+\.)?gcr\.io|.+\.pkg\.dev")
_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
_FLAVOR = {"Metadata-Flavor": "Google"}


@dataclass(frozen=True, slots=True)
class GcrSettings:
    """Where the metadata server is: a host, with a port where it is not 80."""

    metadata_host: str = METADATA_HOST

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> GcrSettings:
        """As Google's own libraries read it, from GCE_METADATA_HOST."""
        return cls(environment.get("GCE_METADATA_HOST") or METADATA_HOST)


class Gcr:
    """Gives credentials for Google's registries; safe for many threads.

    Args:
        settings: Where the metadata server is.
        transport: Sends requests.
        clock: Seconds that never jump.
    """

    def __init__(
        self, settings: GcrSettings, transport: Transport, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._tokens: Renewed[str, Credential | None] = Renewed(self._fetched, clock)
        self._at_google = False

    def credential(self, image: Reference) -> Credential | None:
        """What to ask with; None where the image is not Google's, or this is not Google's machine.

        Raises:
            RegistryError: The metadata server gives no token.
        """
        return self._tokens.of("") if _HOST.fullmatch(image.host.lower()) else None

    def _fetched(self, _: str) -> tuple[Credential | None, float]:
        url = f"http://{self._settings.metadata_host}{_PATH}"
        question = Question(url, "token", headers=_FLAVOR, limit=MAX_ANSWER, direct=True)
        try:
            answer = self._transport.send(question, PATIENCE)
        except RegistryError as error:
            if self._at_google or error.cause is not Cause.UNREACHABLE:
                raise
            return None, ABSENT
        if answer.headers.get("Metadata-Flavor") != _FLAVOR["Metadata-Flavor"]:
            return None, ABSENT
        self._at_google = True
        document = document_of(answer, _WHO, _HINT)
        token, lifetime = token_of(document, "access_token", _WHO), document.get("expires_in")
        seconds = float(min(lifetime, MAX_LIFETIME)) if isinstance(lifetime, int | float) else LIFETIME
        return Credential(_WHO, _USER, token), seconds
