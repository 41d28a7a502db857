"""Flux v1's webhook: somebody, such as flux-recv, says that a repository or an image has changed.

Nobody is asked who they are: a call only brings forward a fetch that would come by itself, and the answer is the same
whatever the agent follows. How often it may do so is the git lane's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from agent.api.http import Answer, Hook, said
from agent.git.url import v1_form

NOTIFY_PATH = "/api/flux/v11/notify"
"""Where Flux v1 was told."""

_PLACE = re.compile(r"[^:]+://(?:[^@/]*@)?(?P<host>\[[^\]]*\]|[^:/]*)(?::\d*)?(?P<path>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Change:
    """What is said to have changed: `kind` is `git` or `image`; what is not named is empty."""

    kind: str
    url: str = ""
    branch: str = ""
    image: str = ""


def change_of(body: bytes) -> Change:
    """Read Flux v1's message, `{"Kind":"git","Source":{"URL":"…","Branch":"…"}}`; Go takes keys in any case.

    Raises:
        ValueError: It is none; the half sentence why.
    """
    try:
        message = _lowered(json.loads(body))
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    kind, source = message.get("kind"), _lowered(message.get("source"))
    if kind == "image":
        return Change("image", image=_image_of(source.get("name")))
    if kind != "git":
        raise ValueError('its kind is neither "git" nor "image"')
    url, branch = source.get("url") or "", source.get("branch") or ""
    if isinstance(url, str) and isinstance(branch, str):
        return Change("git", url, branch)
    raise ValueError("its URL or branch is no text")


def concerns(change: Change, url: str, branch: str) -> bool:
    """Whether the repository of this URL and branch should be fetched; what is not named fits."""
    if change.kind != "git" or not url:
        return False
    return (not change.url or _place(change.url) == _place(url)) and change.branch in ("", branch)


def notify_hook(url: str, branch: str, notify: Callable[[], None], rescan: Callable[[str], None]) -> Hook:
    """What answers at Flux v1's address.

    Args:
        url: The URL of the agent's repository; it may hold a password and is never told.
        branch: The branch that is followed.
        notify: Brings a fetch forward and returns at once.
        rescan: Brings the scan of an image's repository forward and returns at once.
    """

    def hook(body: bytes) -> Answer:
        try:
            change = change_of(body)
        except ValueError as error:
            return said(HTTPStatus.BAD_REQUEST, f"This is no notification: {error}.")
        if concerns(change, url, branch):
            notify()
        if change.image:
            rescan(change.image)
        return said(HTTPStatus.ACCEPTED, "Accepted.")

    return hook


def _image_of(name: Any) -> str:
    """An image's name: a text, or as Flux v1 wrote it in two parts, `{"Domain":"quay.io","Image":"acme/shop"}`."""
    if isinstance(name, dict):
        parts = _lowered(name)
        domain, image = parts.get("domain") or "", parts.get("image") or ""
        name = f"{domain}/{image}" if domain else image
    return name if isinstance(name, str) else ""


def _lowered(value: Any) -> Mapping[str, Any]:
    return {key.lower(): item for key, item in value.items()} if isinstance(value, dict) else {}


def _place(url: str) -> tuple[str, str]:
    """Host and path: a webhook names the same repository over ssh and https, with and without `.git`."""
    match = _PLACE.fullmatch(v1_form(url))
    host, path = (match["host"], match["path"]) if match else ("", url)
    return host.lower(), path.strip("/").removesuffix(".git").lower()
