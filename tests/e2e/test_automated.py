"""Automation on a real control plane: a new image is committed and rolled out with nobody asking."""

from __future__ import annotations

import pytest
from agent_status import log_lines, until
from releasing import BY_NEWS, agent_with_images, app, commit_of, head, image_is_new, moved, note_of, pods_run, runs

pytestmark = pytest.mark.controlplane

AUTOMATED = {"automated": "true", "tag.web": "semver:~1"}


agent = agent_with_images


def refusing(repository, condition, words):
    """A hook that refuses pushes to which a shell's condition applies; removing it ends that."""
    hook = repository.bare / "hooks" / "pre-receive"
    hook.write_text(
        f'#!/bin/sh\nwhile read old new ref; do\n  if {condition}; then echo "{words}" >&2; exit 1; fi\ndone\n'
    )
    hook.chmod(0o755)
    return hook


def test_a_new_image_is_released_to_all_that_want_it_in_one_commit(agent, put, images, namespace, repository):
    images.push("shop", "1.0.0")
    old, new = images.image("shop", "1.0.0"), images.image("shop", "1.1.0")
    put({
        "a": app(namespace, "a", AUTOMATED, web=old),
        "b": app(namespace, "b", AUTOMATED, web=old),
        "locked": app(namespace, "locked", AUTOMATED | {"locked": "true"}, web=old),
        "plain": app(namespace, "plain", {"tag.web": "semver:~1"}, web=old),
        "strict": app(namespace, "strict", {"automated": "true", "tag.web": "semver:~1.0.0"}, web=old),
    })  # fmt: skip
    first = head(repository)
    agent.kubectl_flux("list-images", "-n", namespace)
    images.push("shop", "1.1.0", "2.0.0", "latest")
    image_is_new(agent, images.image("shop"))
    commit = moved(repository, first)
    assert commit.message == f"Auto-release {new}"
    assert commit.lines == [f'-        image: "{old}"', f'+        image: "{new}"'] * 2
    assert commit.values("Flux-Kind") == ["automation"]
    assert commit.values("Flux-Updated") == [f"{namespace}:deployment/{name} web {old} {new}" for name in "ab"]
    assert commit_of(repository, f"{commit.sha}^").sha == first
    until(lambda: new in pods_run(agent, namespace), "the rollout")
    agent.kubectl_flux("wait", "--commit", commit.sha)
    assert {name: runs(agent, namespace, name)[0] for name in ("a", "b", "locked", "plain", "strict")} == {
        "a": new, "b": new, "locked": old, "plain": old, "strict": old
    }  # fmt: skip
    assert head(repository) == commit.sha
    assert note_of(repository, commit.sha)["spec"]["type"] == "auto"
    assert {change["ImageID"] for change in note_of(repository, commit.sha)["spec"]["spec"]["Changes"]} == {new}


def test_automating_a_workload_releases_what_is_there_already(agent, put, images, namespace, repository):
    images.push("shop", "1.0.0", "1.2.0")
    put({"shop": app(namespace, "shop", {"tag.web": "semver:~1"}, web=images.image("shop", "1.0.0"))})
    agent.kubectl_flux("automate", f"--workload={namespace}:deployment/shop")
    new = images.image("shop", "1.2.0")
    until(lambda: commit_of(repository).message == f"Auto-release {new}", "the automated release")
    until(lambda: runs(agent, namespace, "shop") == [new], "the rollout")


def test_a_moving_tag_is_followed_by_its_digest(agent, put, registry, images, namespace, repository):
    images.push("shop", "main")
    first = registry.push(f"{namespace}/shop", "main", 1.0)
    held = f"{images.image('shop', 'main')}@{first}"
    put({"shop": app(namespace, "shop", {"automated": "true", "tag.web": "glob:main"}, web=held)})
    before = head(repository)
    agent.kubectl_flux("list-images", "-n", namespace)
    second = registry.push(f"{namespace}/shop", "main", 2.0)
    image_is_new(agent, images.image("shop"))
    commit = moved(repository, before)
    assert commit.lines == [f'-        image: "{held}"', f'+        image: "{held.replace(first, second)}"']


def test_a_protected_branch_is_told_in_the_servers_words(agent, put, images, namespace, repository):
    """A person's release fails with them, and automation goes on trying without a word more than one."""
    images.push("shop", "1.0.0", "1.1.0")
    put({"shop": app(namespace, "shop", web=images.image("shop", "1.0.0"))})
    before, id_ = head(repository), f"{namespace}:deployment/shop"
    hook = refusing(repository, '[ "$ref" = refs/heads/master ]', "GH006: master is protected by the guild of bakers")
    try:
        done = agent.kubectl_flux("release", f"--workload={id_}", "--update-all-images", check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "GH006: master is protected by the guild of bakers" in done.stderr
        assert "let the agent's key or token push to master" in done.stderr
        done = agent.kubectl_flux("automate", f"--workload={id_}", check=False)
        assert (done.returncode, "GH006" in done.stderr) == (1, True)
    finally:
        hook.unlink()
    assert head(repository) == before
    assert runs(agent, namespace, "shop") == [images.image("shop", "1.0.0")]
    agent.kubectl_flux("release", f"--workload={id_}", "--update-all-images")
    assert runs(agent, namespace, "shop") == [images.image("shop", "1.1.0")]


def test_a_branch_that_refuses_automation_is_told_once_and_tried_again(agent, put, images, namespace, repository):
    images.push("shop", "1.0.0")
    put({"shop": app(namespace, "shop", AUTOMATED, web=images.image("shop", "1.0.0"))})
    agent.kubectl_flux("list-images", "-n", namespace)
    hook = refusing(repository, '[ "$ref" = refs/heads/master ]', "not on a Friday")
    before = head(repository)
    try:
        images.push("shop", "1.1.0")
        image_is_new(agent, images.image("shop"))
        until(lambda: log_lines(agent, "automation could not change git", "not on a Friday"), "the refusal")
        assert head(repository) == before
    finally:
        hook.unlink()
    images.push("shop", "1.2.0")
    image_is_new(agent, images.image("shop"))
    wanted = f"Auto-release {images.image('shop', '1.2.0')}"
    until(lambda: commit_of(repository).message == wanted, "the newest image")


def test_refused_notes_cost_a_word_and_nothing_else(agent, put, images, namespace, repository):
    images.push("shop", "1.0.0", "1.1.0")
    put({"shop": app(namespace, "shop", web=images.image("shop", "1.0.0"))})
    hook = refusing(repository, '[ "$ref" = refs/notes/flux ]', "no notes here")
    try:
        done = agent.kubectl_flux("release", f"--workload={namespace}:deployment/shop", "--update-all-images")
    finally:
        hook.unlink()
    assert "Note: the note could not be sent: " in done.stderr and "no notes here" in done.stderr
    assert runs(agent, namespace, "shop") == [images.image("shop", "1.1.0")]


def test_an_agent_that_may_not_write_says_so(start_agent, put, images, namespace, repository, registry):
    images.push("shop", "1.0.0", "1.1.0")
    put({"shop": app(namespace, "shop", {"tag.web": "semver:~1"}, web=images.image("shop", "1.0.0"))})
    before, id_ = head(repository), f"{namespace}:deployment/shop"
    insecure = f"--registry-insecure-host={registry.host}"
    reading = start_agent(f"--git-url={repository.url}", *BY_NEWS, insecure, "--git-readonly", "--sync-state=secret")
    for command in (("release", "--update-all-images"), ("automate",), ("lock",)):
        done = reading.kubectl_flux(*command, f"--workload={id_}", check=False)
        assert (done.returncode, "--git-readonly" in done.stderr) == (1, True), done.stderr
    assert "off: --git-readonly" in reading.kubectl_flux("why", id_).stdout
    assert head(repository) == before
