"""A user's configuration repository: a work tree that is committed and pushed to a bare one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

_PERSON = {"NAME": "Ann", "EMAIL": "ann@example.com"}


class ConfigRepository:
    """`url` is what the agent is given; `commit` is what a person does."""

    def __init__(self, folder: Path, branch: str = "master") -> None:
        self.bare = folder / "config.git"
        self.tree = folder / "config"
        self.branch = branch
        self.git("init", "-q", "--bare", "-b", branch, str(self.bare), cwd=folder)
        self.git("init", "-q", "-b", branch, str(self.tree), cwd=folder)
        self.git("remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        person = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _PERSON.items()}
        clean = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.tree,
            env={**os.environ, **clean, **person},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message: str = "change", **files: Any) -> str:
        """Write (data as YAML, lists as several documents, text as it is) or delete (None) files; push; the commit."""
        return self.commit_files(files, message)

    def commit_files(self, files: dict[str, Any], message: str = "change") -> str:
        for name, content in files.items():
            path = self.tree / (name if "." in name else f"{name}.yaml")
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else as_yaml(content))
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("push", "-q", "--force", "origin", f"HEAD:refs/heads/{self.branch}")
        return self.git("rev-parse", "HEAD")

    def replace(self, files: dict[str, Any], message: str = "change") -> str:
        """As `commit_files`, and nothing else stays in the repository."""
        self.git("rm", "-r", "-q", "-f", "--ignore-unmatch", ".")
        return self.commit_files(files, message)

    def pull(self) -> None:
        """Take what others have pushed."""
        self.git("fetch", "-q", "origin", self.branch)
        self.git("reset", "-q", "--hard", "FETCH_HEAD")

    @property
    def head(self) -> str:
        """The commit that was made last."""
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str = "flux-sync") -> str:
        """The commit a tag of the bare repository points to; empty where there is none."""
        tags = self.git("for-each-ref", "--format=%(*objectname)", f"refs/tags/{name}", cwd=self.bare)
        return tags.strip()


def as_yaml(content: Any) -> str:
    return yaml.safe_dump_all(content if isinstance(content, list) else [content], sort_keys=False)


def config_map(namespace: str, name: str = "settings", annotations: dict[str, str] | None = None, **data: str):
    metadata = {"name": name, "namespace": namespace} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(
    namespace: str, name: str = "web", *, replicas: int | None = 1, image: str = "acme/web:1.0.0", **meta: Any
):
    spec = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "web", "image": image}]},
        },
    }
    replicas_field = {} if replicas is None else {"replicas": replicas}
    metadata = {"name": name, "namespace": namespace, **meta}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {**replicas_field, **spec}}


def secret(namespace: str, name: str, **content: Any):
    """A Secret; `content` has its `data`, `stringData` or `type`."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, **content}


def custom(group: str, kind: str, namespace: str, name: str):
    """An object of a custom kind."""
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": {}}


def service(namespace: str, name: str = "web", **spec: Any):
    ports = [{"port": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": ports, **spec},
    }


def job(namespace: str, name: str, image: str):
    containers = [{"name": "main", "image": image}]
    template = {"spec": {"containers": containers, "restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template},
    }


def definition(group: str, kind: str, plural: str):
    """A CustomResourceDefinition of a namespaced kind that takes any fields."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
        "versions": [version],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }


def namespace_of(name: str):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
