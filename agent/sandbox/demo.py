"""`make demo`: the main job on the embedded cluster, with the commands a person would type and their real output.

A sandbox cluster, an image registry, a git repository and the agent are started on loopback; everything shown is
done by the real programs: git, kubectl (where it is installed), `kubectl flux`, flux-agent. It ends with 0 when every
step came out as told.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.sandbox.cluster import SandboxCluster
from agent.sandbox.registry import SandboxRegistry
from agent.sandbox.stage import Stage, StageError

SPACE = "demo"


def main() -> int:
    """Run the chapters."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="flux-demo-"))
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster, registry = stack.enter_context(SandboxCluster()), stack.enter_context(SandboxRegistry())
        stage = stack.enter_context(Stage(folder, cluster, registry))
        try:
            for chapter in CHAPTERS:
                chapter(stage)
        except StageError as error:
            sys.stderr.write(f"\nThe demo went wrong: {error}\n{stage.agent_log()}\n")
            return 1
        stage.say(f"\nThat was all, in {time.monotonic() - started:.0f} seconds.")
        if keep:
            _wait(stage)
    return 0


def _wait(stage: Stage) -> None:
    stage.say("\nIt goes on running. In another terminal:\n")
    stage.say(f"  export KUBECONFIG={stage.kubeconfig} PATH={Path(sys.executable).parent}{os.pathsep}$PATH")
    stage.say("  kubectl flux list-workloads --all-namespaces")
    stage.say(f"  cd {stage.tree}    # change something, git commit, git push, kubectl flux sync")
    stage.say("\nCtrl-C ends it.")
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    over.wait()


def a_repository_is_synced(stage: Stage) -> None:
    """Chapter 1."""
    stage.title("1. A git repository becomes a cluster")
    for number, tag in enumerate(("1.0.0", "1.1.0", "1.1.1", "2.0.0")):
        stage.push_image(tag, FIRST_BUILD + number * 30 * 86_400)
    stage.write({"namespace.yaml": NAMESPACE, "shop.yaml": _shop(stage, "1.0.0"), "settings.yaml": SETTINGS} | FLAGS)
    stage.commit("Open the shop")
    stage.flux("sync")
    stage.get("deployment/shop", "configmap/settings")
    stage.flux("list-workloads", "-n", SPACE)
    stage.expect("deployments", "shop", lambda shop: shop["spec"]["replicas"] == 2)


def a_change_arrives(stage: Stage) -> None:
    """Chapter 2."""
    stage.title("2. A change in git arrives")
    stage.write({"shop.yaml": _shop(stage, "1.1.0")})
    stage.show_diff()
    stage.commit("Release the shop 1.1.0")
    stage.flux("sync")
    stage.flux("list-workloads", "-n", SPACE)
    stage.expect("deployments", "shop", _runs("1.1.0"))


def a_hand_edit_is_put_back(stage: Stage) -> None:
    """Chapter 3."""
    stage.title("3. What somebody changes by hand is put back")
    stage.scale("shop", 7)
    stage.get("deployment/shop")
    stage.expect("deployments", "shop", lambda shop: shop["spec"]["replicas"] == 7)
    stage.flux("sync")
    stage.get("deployment/shop")
    stage.expect("deployments", "shop", lambda shop: shop["spec"]["replicas"] == 2)


def a_broken_file_fails_alone(stage: Stage) -> None:
    """Chapter 4."""
    stage.title("4. A broken file fails alone, with its line, commit and author")
    stage.write(
        {
            "broken.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: name: oops\n",
            "settings.yaml": SETTINGS.replace("open", "busy"),
        }
    )
    stage.commit("Break a file and change another")
    stage.flux("sync", expect=1)
    stage.expect("configmaps", "settings", lambda found: found["data"]["state"] == "busy")
    stage.remove("broken.yaml")
    stage.commit("Mend it")
    stage.flux("sync")


def what_leaves_git_leaves_the_cluster(stage: Stage) -> None:
    """Chapter 5."""
    stage.title("5. What leaves git leaves the cluster")
    stage.remove("settings.yaml")
    stage.commit("The settings are not needed any more")
    stage.flux("sync")
    stage.get("configmap/settings", missing=True)
    stage.expect("configmaps", "settings", lambda found: found is None)


def a_mass_removal_is_held(stage: Stage) -> None:
    """Chapter 6."""
    stage.title("6. But not everything at once: the brake")
    stage.remove(*FLAGS)
    stage.commit("Oops, all the feature flags")
    told = stage.flux("sync")
    stage.expect("configmaps", "flag-1", lambda found: found is not None)
    stage.say("\nIt was meant. The hash lets exactly these deletions through:")
    stage.flux("sync", "--allow-deletions", _approval(told))
    stage.expect("configmaps", "flag-1", lambda found: found is None)
    stage.flux("list-workloads", "-n", SPACE)


def images_are_known(stage: Stage) -> None:
    """Chapter 7."""
    stage.title("7. Which images exist, and which one the policy wants")
    told = stage.flux("list-images", "-w", f"{SPACE}:deployment/shop")
    if "'-> 1.1.0" not in told:
        raise StageError("the running image is not among those of the registry")
    told = stage.flux("why", f"{SPACE}:deployment/shop")
    if "1.1.1" not in told:
        raise StageError("the policy does not want 1.1.1")


def a_new_image_releases_itself(stage: Stage) -> None:
    """Chapter 8."""
    stage.title("8. A new image releases itself, in a commit of one line")
    stage.flux("automate", "-w", f"{SPACE}:deployment/shop")
    stage.await_commit("Auto-release", stage.image("1.1.1"))
    stage.say("\nThe next image is built:")
    stage.push_image("1.2.0", FIRST_BUILD + 150 * 86_400)
    stage.tell_of_image()
    stage.await_commit("Auto-release", stage.image("1.2.0"))
    stage.pull()
    stage.show_commit()
    stage.flux("wait", "--timeout", "30s")
    stage.flux("list-workloads", "-n", SPACE)
    stage.expect("deployments", "shop", _runs("1.2.0"))


def a_rollback_stays(stage: Stage) -> None:
    """Chapter 9."""
    stage.title("9. A rollback stays: automation does not bring back what a person took back")
    workload, image = f"{SPACE}:deployment/shop", stage.image("1.1.1")
    stage.flux("release", f"--workload={workload}", f"--update-image={image}", "-m", "1.2.0 loses orders")
    told = stage.flux("why", workload)
    if "taken back" not in told:
        raise StageError("nobody tells that 1.2.0 was taken back")
    stage.expect("deployments", "shop", _runs("1.1.1"))
    stage.say("\nWhat is newer than the image that was taken back comes by itself again:")
    stage.push_image("1.2.1", FIRST_BUILD + 180 * 86_400)
    stage.tell_of_image()
    stage.await_commit("Auto-release", stage.image("1.2.1"))
    stage.pull()
    stage.show_log()


def all_is_well(stage: Stage) -> None:
    """Chapter 10."""
    stage.title("10. Is all well?")
    stage.flux("wait", "--timeout", "30s")
    stage.flux("status")


def _runs(tag: str) -> Callable[[Any], bool]:
    return lambda shop: shop["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{tag}")


def _shop(stage: Stage, tag: str) -> str:
    return SHOP.replace("IMAGE", stage.image(tag))


def _approval(told: str) -> str:
    for line in told.splitlines():
        if "--allow-deletions" in line:
            return line.split()[-1]
    raise StageError("the deletions were not held")


CHAPTERS: tuple[Callable[[Stage], None], ...] = (
    a_repository_is_synced,
    a_change_arrives,
    a_hand_edit_is_put_back,
    a_broken_file_fails_alone,
    what_leaves_git_leaves_the_cluster,
    a_mass_removal_is_held,
    images_are_known,
    a_new_image_releases_itself,
    a_rollback_stays,
    all_is_well,
)

FIRST_BUILD = 1_760_000_000.0
"""When the first image says it was built, in Unix seconds."""


NAMESPACE = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {SPACE}\n"
SETTINGS = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: {SPACE}\ndata:\n  state: open\n"
SHOP = f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  namespace: {SPACE}
  annotations:
    fluxcd.io/tag.web: semver:~1
spec:
  replicas: 2
  selector:
    matchLabels: {{app: shop}}
  template:
    metadata:
      labels: {{app: shop}}
    spec:
      containers:
        - name: web
          image: IMAGE  # the front of the store
"""
FLAGS = {
    f"flags/flag-{number}.yaml": SETTINGS.replace("name: settings", f"name: flag-{number}") for number in range(1, 13)
}


if __name__ == "__main__":
    sys.exit(main())
