"""What the tests of releases share: a library of images, and definitions written short."""

from __future__ import annotations

from agent.api import changes
from agent.model.ids import WorkloadId
from agent.model.images import Image, Reference, Repository
from agent.model.patterns import ordered
from agent.model.resources import Origin
from agent.model.updates import Cause, Definition, PoliciesSpec
from agent.model.workloads import Container, Workload, WorkloadSnapshot
from agent.releases.policies import checked
from kubectl_flux.commands import flags
from kubectl_flux.commands import policies as policies_command


def digest(number):
    return f"sha256:{number:064x}"


class Shelf:
    """A library that knows these images, each name with tag → (digest, build time); `broken` ones only an error."""

    def __init__(self, images, broken=None):
        self.images = {
            Reference.parse(name).canonical_name: {
                tag: Image(tag, known[0], known[1], fetched_at=1.0) for tag, known in tags.items()
            }
            for name, tags in images.items()
        }
        self.broken = broken or {}

    def repository(self, image):
        name = image.canonical_name
        known = self.images.get(name)
        return Repository(name, known or {}, scanned_at=1.0 if known else 0.0, error=self.broken.get(name, ""))

    def ordered(self, image, order):
        return ordered(self.repository(image).images.values(), order, by_label=False)

    def by_label(self, image):
        return False


def built(*tags):
    """Tags, each built after the one before it."""
    return {tag: (digest(number), float(number)) for number, tag in enumerate(tags, start=1)}


def defined(id_, *containers, path="", read_only="", **policies):
    """A definition; containers as `name=image`, `+` before an init container; `__` in a policy is a dot."""
    named = tuple(
        Container(text.split("=")[0].lstrip("+"), text.split("=", 1)[1], text[0] == "+") for text in containers
    )
    texts = {name.replace("__", ".").replace("_image", "-image"): value for name, value in policies.items()}
    workload = WorkloadId.parse(id_)
    return Definition(workload, Origin(path or f"{workload.name}.yaml", 1), named, texts, read_only)


def running(*definitions):
    return WorkloadSnapshot(tuple(Workload(item.id, item.containers) for item in definitions))


def policy_update(cause=Cause(), **change):  # noqa: B008 # a frozen value
    """The update that the policy commands let the agent make: `automated`, `locked`, `tags`, `tag_all`."""
    asked = policies_command.PolicyChange("a:b/c", cause=flags.Cause(cause.message, cause.user), **change)
    request = policies_command.as_message(asked)
    id_, update = next(iter(changes._policies_of(request)[0].items()))
    return checked(PoliciesSpec({id_: update})).updates[id_]


def ids(*texts):
    return tuple(map(WorkloadId.parse, texts))
