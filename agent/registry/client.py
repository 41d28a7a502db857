"""One registry's API: the tags of a repository, the digest of a tag, the manifest of a digest.

OCI distribution 1.1 (https://github.com/opencontainers/distribution-spec) and what came before it. Nothing is kept
here but tokens: what is known already is the scanner's to know.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from requests.utils import parse_header_links

from agent.model.images import Reference, is_sha256
from agent.registry.auth import Authenticator
from agent.registry.errors import Cause, RegistryError
from agent.registry.manifests import ACCEPTED, Platform, digest_of, parsed, payload_of, read_config, read_manifest
from agent.registry.records import Credential, Manifest
from agent.registry.transport import Answer, Question, Transport, joined

PAGE = 1000
"""Tags asked for at once; registries may give fewer."""
MAX_TAGS = 200_000
MAX_PAGES = 2_000
MAX_TAG_BYTES = 16 << 20
MAX_LISTING = 600.0
"""Seconds for all pages of one repository."""
MAX_LINK = 8192
"""Characters of a `Link` header."""
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_ARTIFACT = re.compile(r"sha256-[0-9a-f]{64}(\.[a-z]+)?")
"""Tags under which signatures, SBOMs and attestations of other images are kept (cosign; OCI 1.1's referrers)."""


class RegistryClient:
    """Asks registries; safe for many threads.

    Args:
        transport: Sends requests.
        platform: Tells what images have to run on.
    """

    def __init__(self, transport: Transport, platform: Callable[[], Platform]) -> None:
        self._transport = transport
        self._authenticator = Authenticator(transport)
        self._platform = platform

    def tags(self, image: Reference, credential: Credential | None) -> tuple[str, ...]:
        """All tags of the image's repository that may be images, in the registry's order.

        Raises:
            RegistryError: The registry refuses, cannot be reached, or lists without end.
        """
        found: dict[str, None] = {}
        path = f"tags/list?n={PAGE}"
        seen: set[str] = set()
        end = time.monotonic() + MAX_LISTING
        while path:
            if path in seen or len(seen) >= MAX_PAGES or len(found) > MAX_TAGS or time.monotonic() > end:
                raise RegistryError(f"the tags of {image.canonical_name} have no end", Cause.MALFORMED)
            seen.add(path)
            answer = self._ask(image, Question(path, "tags", limit=MAX_TAG_BYTES), credential)
            listed = parsed(answer.body, "list of tags").get("tags") or []
            if not isinstance(listed, list):
                raise RegistryError(f"the list of tags of {image.canonical_name} is none", Cause.MALFORMED)
            found.update((tag, None) for tag in listed if isinstance(tag, str) and _is_candidate(tag))
            path = _next_page(answer, image)
        return tuple(found)

    def digest(self, image: Reference, credential: Credential | None) -> str:
        """What the image's tag stands for now.

        Raises:
            RegistryError: The registry refuses, cannot be reached, or does not know the tag.
        """
        question = Question(f"manifests/{image.tag}", "digest", "HEAD", {"Accept": ACCEPTED})
        answer = self._ask(image, question, credential)
        digest = answer.headers.get("Docker-Content-Digest", "")
        if is_sha256(digest):
            return digest
        # An old registry does not say: then only the manifest itself tells.
        question = Question(f"manifests/{image.tag}", "manifest", headers={"Accept": ACCEPTED})
        return digest_of(payload_of(self._ask(image, question, credential).body))

    def manifest(self, image: Reference, credential: Credential | None) -> Manifest:
        """What the image's digest stands for: two requests, three where it stands for several platforms.

        Raises:
            RegistryError: The registry refuses, cannot be reached, or answers with something else.
        """
        platform = self._platform()
        read = read_manifest(*self._fetched(image, image.digest, credential), image.digest, platform)
        if read.child:
            read = read_manifest(*self._fetched(image, read.child, credential), image.digest, platform)
            if read.child:
                raise RegistryError(f"{image.digest} of {image.canonical_name} is an index of indexes", Cause.MALFORMED)
        if not read.config:
            return read.manifest
        question = Question(f"blobs/{read.config}", "config")
        body = self._ask(image, question, credential).body
        _check(body, read.config, image)
        return read_config(body, read.manifest)

    def _fetched(self, image: Reference, digest: str, credential: Credential | None) -> tuple[bytes, str]:
        """A manifest's bytes, whose digest was checked, and its media type."""
        question = Question(f"manifests/{digest}", "manifest", headers={"Accept": ACCEPTED})
        answer = self._ask(image, question, credential)
        body = payload_of(answer.body)
        _check(body, digest, image)
        return body, answer.headers.get("Content-Type", "")

    def _ask(self, image: Reference, question: Question, credential: Credential | None) -> Answer:
        """Send a question about a repository, its URL given from there; a refusal that names its terms is met once."""
        for attempt in range(3):
            authorization = self._authenticator.header(image, credential, just_learned=attempt > 0)
            headers: Mapping[str, str] = question.headers
            if authorization:
                headers = {**headers, "Authorization": authorization}
            url = f"{self._transport.base(image.host)}/{image.repository}/{question.url}"
            answer = self._transport.send(Question(url, question.kind, question.method, headers, None, question.limit))
            # Where a redirect led has no say in what the registry's credential is good for.
            if answer.status != 401 or answer.host != urlsplit(url).netloc or attempt == 2:
                break
            terms = answer.headers.get("WWW-Authenticate", "")
            if not self._authenticator.learn(image, terms, credential, authorization):
                break
        if answer.status == 200:
            return answer
        raise _refusal(image, question, answer, credential)


def _is_candidate(tag: str) -> bool:
    return bool(_TAG.fullmatch(tag)) and not _ARTIFACT.fullmatch(tag)


def _next_page(answer: Answer, image: Reference) -> str:
    """The next page's URL from the repository on; empty on the last. Only the query of the registry's link counts."""
    header = answer.headers.get("Link", "")
    links = parse_header_links(header) if len(header) <= MAX_LINK else []
    link = next((each["url"] for each in links if "next" in each.get("rel", "").split()), "")
    query = urlsplit(joined(f"https://{image.host}/", link)).query
    return f"tags/list?{query}" if parse_qs(query) else ""


def _check(body: bytes, digest: str, image: Reference) -> None:
    if is_sha256(digest) and digest_of(body) != digest:
        raise RegistryError(
            f"{image.host} answered with something else than {digest} of {image.repository}",
            Cause.MALFORMED,
            hint="is a broken proxy or cache in between?",
        )


def _refusal(image: Reference, question: Question, answer: Answer, credential: Credential | None) -> RegistryError:
    what = f"{image.canonical_name}{f':{image.tag}' if image.tag and question.kind != 'tags' else ''}"
    if answer.status in (401, 403):
        who = f"with {credential.name}" if credential else "without a credential"
        return RegistryError(
            f"{what} may not be read {who}",
            Cause.UNAUTHORIZED,
            hint="does an image pull secret of the workload or its ServiceAccount fit?",
        )
    if answer.status == 404:
        return RegistryError(f"there is no {what}", Cause.NOT_FOUND)
    cause = Cause.UNREACHABLE if answer.status >= 500 else Cause.REFUSED
    return RegistryError(f"the {question.kind} of {what} was answered with {answer.status}", cause)
