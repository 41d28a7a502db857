"""Amazon ECR: which of its images are scanned, and the tokens that AWS gives for their registries.

A token is a region's, for every account that the agent's role may pull from. As in Flux v1, the regions that are
scanned are the given ones, else the cluster's own; where that is not known, none is, and the reason is told.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.model.errors import UsageError
from agent.model.images import Reference
from agent.registry.clouds.renewed import Renewed
from agent.registry.errors import Cause, RegistryError
from agent.registry.records import Credential

EKS_ACCOUNTS = ("602401143452", "918309763551")
"""Accounts of the images that EKS itself runs."""
_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)"
    r"\.(amazonaws\.com(\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)"
)
_FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class EcrSettings:
    """What of ECR is scanned.

    Attributes:
        regions: These regions; the cluster's own where empty.
        include_ids: Images of these accounts; of all where empty.
        exclude_ids: Never images of these accounts.
    """

    regions: tuple[str, ...] = ()
    include_ids: tuple[str, ...] = ()
    exclude_ids: tuple[str, ...] = EKS_ACCOUNTS


@dataclass(frozen=True, slots=True)
class EcrHost:
    """Whose registry it is, and where."""

    account: str
    region: str


class Api(Protocol):
    """What is needed of AWS; the module `aws` has it."""

    def token(self, region: str) -> tuple[str, str, float]:
        """A user name and password, and for how many seconds they are good."""

    def region(self) -> str:
        """The region of this machine."""


def host_of(image: Reference) -> EcrHost | None:
    """The registry of an image; None where it is not ECR's."""
    match = _HOST.fullmatch(image.host.lower())
    return EcrHost(match["account"], match["region"]) if match else None


def reason_against(image: Reference, settings: EcrSettings, regions: tuple[str, ...]) -> str:
    """Why an image is not scanned; empty where it is, or is not ECR's. Pure.

    Args:
        image: The image.
        settings: What is scanned.
        regions: The regions that are scanned.
    """
    host = host_of(image)
    if host is None:
        return ""
    if host.account in settings.exclude_ids:
        return f"AWS account {host.account} is excluded by --registry-ecr-exclude-id"
    if settings.include_ids and host.account not in settings.include_ids:
        return f"AWS account {host.account} is not included by --registry-ecr-include-id"
    if host.region in regions:
        return ""
    if settings.regions:
        return f"AWS region {host.region} is not included by --registry-ecr-region"
    return f"AWS region {host.region} is not the cluster's own, {', '.join(regions)}: --registry-ecr-region includes it"


class Ecr:
    """Gives credentials for ECR; safe for many threads.

    Args:
        settings: What is scanned.
        clock: Seconds that never jump.
    """

    def __init__(self, settings: EcrSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._tokens: Renewed[str, Credential] = Renewed(_fetched_token, clock)
        self._region: Renewed[str, str] = Renewed(lambda _: (_api().region(), _FOR_EVER), clock)

    def credential(self, image: Reference) -> Credential | None:
        """What to ask with; None where the image is not ECR's, or is not scanned.

        Raises:
            RegistryError: AWS gives none.
        """
        host = host_of(image)
        if host is None or self.reason_against(image):
            return None
        return self._tokens.of(host.region)

    def reason_against(self, image: Reference) -> str:
        """Why an image is not scanned; empty where it is, or is not ECR's. May ask instance metadata, once."""
        if host_of(image) is None:
            return ""
        try:
            regions = self._regions()
        except RegistryError as error:
            return f"{error.message}; --registry-ecr-region names the regions to scan"
        return reason_against(image, self._settings, regions)

    def check(self) -> None:
        """See at start whether AWS can be used, for `--registry-require=ecr`: one region's token is enough.

        Raises:
            UsageError: It cannot.
        """
        troubles: list[RegistryError] = []
        try:
            for region in self._regions():
                try:
                    self._tokens.of(region)
                except RegistryError as error:
                    troubles.append(error)
                else:
                    return
        except RegistryError as error:
            troubles.append(error)
        first = troubles[0]
        raise UsageError(f"--registry-require=ecr cannot be met: {first.message}", hint=first.hint)

    def _regions(self) -> tuple[str, ...]:
        return self._settings.regions or (self._region.of(""),)


def _fetched_token(region: str) -> tuple[Credential, float]:
    username, password, lifetime = _api().token(region)
    return Credential(f"AWS's token for ECR in {region}", username, password), lifetime


def _api() -> Api:
    try:
        from agent.registry.clouds import aws  # noqa: PLC0415 # botocore is an extra, and slow to import
    except ImportError as error:
        raise RegistryError(
            "AWS cannot be asked for a token for ECR: botocore is not installed",
            Cause.UNAUTHORIZED,
            hint="pip install 'kubectl-flux[aws]'",
        ) from error
    return aws
