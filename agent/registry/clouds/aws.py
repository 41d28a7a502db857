"""AWS's API: the only module that knows botocore, which is an extra and takes its time to import.

Credentials come from botocore's own chain: the environment, a web identity (IRSA) or EKS's pod identity, the node's
role by instance metadata. botocore shows AWS's words; only their first line is told, since the ones behind it may
repeat a request with its session token.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError
from botocore.session import Session
from botocore.utils import BadIMDSRequestError, IMDSRegionProvider

from agent.registry.errors import Cause, RegistryError

# It logs what it raises as well, with AWS's whole words.
logging.getLogger("botocore").setLevel(logging.CRITICAL)

LIFETIME = 12 * 3600.0
"""Seconds that a token is good for at most."""
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
ATTEMPTS = 2
_MAX_WORDS = 300
# botocore lets through what goes wrong where an answer is not as expected, as from a proxy.
_UNEXPECTED = (BadIMDSRequestError, ResponseParserError, ValueError, LookupError, RuntimeError)
_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")
_HINT = "the agent's ServiceAccount or node needs a role that allows ecr:GetAuthorizationToken and pulling"


def token(region: str) -> tuple[str, str, float]:
    """A user name and password for the registries of a region, and for how many seconds they are good.

    Raises:
        RegistryError: AWS refuses, cannot be reached, or there are no credentials to ask it with.
    """
    with _told(f"AWS gives no token for ECR in {region}"):
        client = _session().create_client("ecr", region_name=region)
        try:
            answer = client.get_authorization_token()
        finally:
            client.close()
    data = (answer.get("authorizationData") or [{}])[0]
    try:
        plain = base64.b64decode(data.get("authorizationToken") or "", validate=True).decode()
    except (binascii.Error, ValueError):
        plain = ""
    username, _, password = plain.partition(":")
    if not password:
        raise RegistryError(f"AWS gives no token for ECR in {region}: its answer holds none", Cause.MALFORMED)
    ends = data.get("expiresAt")
    left = ends.timestamp() - time.time() if isinstance(ends, datetime) else LIFETIME
    return username, password, min(left, LIFETIME)


def region() -> str:
    """The region of this machine: as configured, else as its metadata tells.

    Raises:
        RegistryError: Neither tells.
    """
    with _told("the AWS region of this cluster is not known"):
        session = _session()
        found = session.get_config_variable("region") or IMDSRegionProvider(session).provide() or ""
    if not _REGION.fullmatch(found):
        raise RegistryError(
            "the AWS region of this cluster is not known: instance metadata does not tell", Cause.UNREACHABLE
        )
    return str(found)


def _session() -> Session:
    session = Session()
    retries = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
    session.set_default_client_config(
        Config(connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries=retries)
    )
    return session


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turns botocore's errors into ours."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error") or {}
        raise RegistryError(
            f"{what}: {_first_line(said.get('Message') or said.get('Code') or '')}", Cause.UNAUTHORIZED, hint=_HINT
        ) from None
    except (BotoConnectionError, HTTPClientError) as error:
        raise RegistryError(f"{what}: {_first_line(str(error))}", Cause.UNREACHABLE) from None
    except _UNEXPECTED as error:
        raise RegistryError(f"{what}: an answer is not AWS's ({type(error).__name__})", Cause.MALFORMED) from None
    except (BotoCoreError, OSError) as error:
        raise RegistryError(f"{what}: {_first_line(str(error))}", Cause.UNAUTHORIZED, hint=_HINT) from None


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it does not say why"])[0][:_MAX_WORDS].rstrip(". ")
