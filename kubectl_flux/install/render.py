"""The manifests of one installation, made from `templates/`. Nothing but the templates is read.

A template is YAML with two kinds of `$name`: within a line it is replaced by a scalar; alone on a line by a block of
lines with that line's indentation, or by nothing at all, line included, where the block is empty. `$$` is a dollar.
Whatever a user may have typed is quoted where YAML could take it for something else than that text.
"""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from importlib.resources import files
from string import Template

from kubectl_flux.install.options import InstallOptions

CACHE_DIR = "/var/cache/flux"
SEPARATOR = "---\n"

_PLAIN = re.compile(r"(?:--|[A-Za-z])[\w./:=@,+-]*[\w/]", re.ASCII)
_BLOCK = re.compile(r"( *)\$(\w+)\n")
_DOLLAR = re.compile(r"\$(?!\([A-Za-z_]\w*\))")
"""A dollar that does not begin the name of an environment variable, `$(NAME)`; Kubernetes reads two of them as one."""
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null"})


def render(options: InstallOptions) -> dict[str, str]:
    """The manifests by file name, in the order to apply them. `options` must have passed `check`."""
    words = {
        "namespace": quoted(options.namespace),
        "suffix": options.suffix,
        "image": quoted(options.image),
    }
    secure = options.add_security_context
    blocks = {
        "pod_security_labels": _template("pod-security-labels") if secure else "",
        "pod_security": _template("pod-security") if secure else "",
        "container_security": _template("container-security") if secure else "",
        "arguments": "".join(f"- {quoted(argument)}\n" for argument in arguments(options)),
        "agent_rights": _agent_rights(options, words),
        "access_bindings": _access_bindings(options, words),
    }
    names = [
        *(("flux-ns",) if options.has_namespace else ()),
        *("flux-account", "flux-access", "flux-secret", "flux-service", "flux-deployment"),
        *(("flux-network-policy",) if options.network_policy else ()),
    ]
    return {f"{name}.yaml": filled(_template(name), words, blocks) for name in names}


def stream(manifests: Mapping[str, str]) -> str:
    """All manifests as one stream, for `kubectl apply -f -`."""
    return SEPARATOR.join(manifests.values())


def arguments(options: InstallOptions) -> list[str]:
    """The agent's argument list as Kubernetes reads it; lists are written as pflag reads them."""
    texts = {
        "git-url": options.git_url,
        "git-branch": options.git_branch,
        "git-path": _listed(options.git_paths),
        "git-label": options.git_label,
        "git-user": options.git_user,
        "git-email": options.git_email,
        "k8s-allow-namespace": _listed(options.scope),
        "cache-dir": CACHE_DIR,
    }
    switches = {
        "git-readonly": options.git_readonly,
        "manifest-generation": options.manifest_generation,
        "registry-disable-scanning": options.registry_disable_scanning,
    }
    given = [f"--{name}={_DOLLAR.sub('$$', value)}" for name, value in texts.items() if value]
    return [*given, *(f"--{name}" for name, on in switches.items() if on)]


def quoted(text: str) -> str:
    """A printable text as a YAML scalar that every reader takes for this text; plain where it is sure to be."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def filled(template: str, words: Mapping[str, str], blocks: Mapping[str, str]) -> str:
    """A template with its `$name`s replaced.

    Raises:
        KeyError: It has one that is neither a word nor a block.
    """
    lines = []
    for line in template.splitlines(keepends=True):
        block = _BLOCK.fullmatch(line)
        if block:
            lines.append(textwrap.indent(blocks[block[2]], block[1]))
        else:
            lines.append(Template(line).substitute(words))
    return "".join(lines)


def _agent_rights(options: InstallOptions, words: Mapping[str, str]) -> str:
    """What the agent's ServiceAccount may do."""
    if not options.namespaced:
        return filled(_template("rights-everywhere"), words, {})
    at_home = "" if options.namespace in options.scope else "rights-home"
    parts = [filled(_template(name), words, {}) for name in ("rights-namespaced", at_home) if name]
    return SEPARATOR.join([*parts, _for_each(options.scope, "rights-allowed", words)])


def _access_bindings(options: InstallOptions, words: Mapping[str, str]) -> str:
    """Where the accounts of those who call have their rights: everywhere, or where the agent has its own."""
    if options.namespaced:
        return _for_each(options.scope, "access-allowed", words)
    return filled(_template("access-everywhere"), words, {})


def _for_each(namespaces: Iterable[str], template: str, words: Mapping[str, str]) -> str:
    return SEPARATOR.join(filled(_template(template), {**words, "allowed": quoted(name)}, {}) for name in namespaces)


def _template(name: str) -> str:
    return (files("kubectl_flux.install") / "templates" / f"{name}.yaml").read_text("utf-8")


def _listed(items: Iterable[str]) -> str:
    """Items as one value of a pflag list: separated by commas, in double quotes where an item has one."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(items)
    return line.getvalue()
