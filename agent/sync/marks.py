"""Marks: the label that says "this source created this very object".

The mark hashes the object's identity with a secret of the source, because labels get copied: a Service's labels
reach its EndpointSlice, which must not be taken for ours. Flux v1's marks are recognised by v1's formula, so that
what v1 created is adopted.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from agent.model.ids import ObjectKey

_FORMULA = "kubectl-flux/1"


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Marker:
    """Makes and recognises the marks of one source.

    `source` names it towards people (`namespace/name`); `salt` and `v1_salt` go into the hashes. `definition` stands
    for the repository, branch and paths that the source is defined by now.
    """

    source: str
    salt: str
    v1_salt: str = ""
    definition: str = ""

    @property
    def signature(self) -> str:
        """The value of the annotation that names the source: `namespace/name@definition`."""
        return f"{self.source}@{self.definition}" if self.definition else self.source

    def is_same_source(self, signature: str) -> bool:
        """Whether an object's annotation names this source, however it was defined then."""
        return signature.partition("@")[0] == self.source

    def is_orphan(self, signature: str) -> bool:
        """Whether it names this source as it was defined before."""
        return self.is_same_source(signature) and signature != self.signature

    def mark(self, key: ObjectKey) -> str:
        """The mark this object carries when it is ours: a label value of 50 characters."""
        kind = f"{key.kind.lower()}.{key.group}" if key.group else key.kind.lower()
        return "sha256." + _digest(f"{self.salt}{key.namespace}:{kind}/{key.name}")

    def is_ours(self, key: ObjectKey, mark: str) -> bool:
        """Whether this mark on this object is ours, or the one Flux v1 gave it for this very source."""
        return bool(mark) and (mark == self.mark(key) or (bool(self.v1_salt) and mark == v1_mark(self.v1_salt, key)))


def marker(namespace: str, name: str, v1_salt: str = "") -> Marker:
    """The marker of the source `name` of the agent in `namespace`; `v1_salt` stands for its url, branch and paths."""
    source = f"{namespace}/{name}"
    definition = hashlib.sha256(v1_salt.encode()).hexdigest()[:8] if v1_salt else ""
    return Marker(source, _digest(f"{_FORMULA}\n{source}"), v1_salt, definition)


def v1_salt(url: str, branch: str, paths: Sequence[str]) -> str:
    """Flux v1's name for a source: url (in v1's form, without password), branch and paths, hashed together."""
    return _digest(url + branch + "".join(paths))


def v1_mark(salt: str, key: ObjectKey) -> str:
    """The mark Flux v1 gave to an object."""
    return "sha256." + _digest(salt + str(key.workload_id))
