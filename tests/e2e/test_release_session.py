"""`kubectl flux release` and the policy commands, as people drive them: what is said, what git has, what runs."""

from __future__ import annotations

import json

import pytest
from releasing import agent_with_images, app, commit_of, head, note_of, pods_run, runs

pytestmark = pytest.mark.controlplane

HEADERS = "WORKLOAD STATUS UPDATES"


agent = agent_with_images


@pytest.fixture
def shop(put, images, namespace):
    """A Deployment of two containers, `web` far behind and `side` up to date."""
    images.push("shop", "1.0.0", "1.1.0", "1.1.1", "2.0.0")
    images.push("side", "v1")
    put({"shop": app(namespace, "shop", web=images.image("shop", "1.0.0"), side=images.image("side", "v1"))})
    return f"{namespace}:deployment/shop"


@pytest.fixture
def flux(agent):
    """A function that runs `kubectl flux …`: the lines of stdout with single spaces, the lines of stderr."""

    def run(*arguments, code=0):
        done = agent.kubectl_flux(*arguments, check=False)
        assert done.returncode == code, done.stderr
        return [" ".join(line.split()) for line in done.stdout.splitlines()], done.stderr.splitlines()

    return run


def pushed(repository, *, applied=False):
    """What the plugin says of the newest commit."""
    short = head(repository)[:7]
    return [f"Commit pushed:\t{short}", *([f"Commit applied:\t{short}"] if applied else [])]


# --- releases --------------------------------------------------------------------------------------------------------


def test_all_latest_images_are_released(agent, flux, shop, repository, images, namespace):
    done = agent.kubectl_flux("release", f"--workload={shop}", "--update-all-images", "--user=Ann <ann@example.com>")
    old, new = images.image("shop", "1.0.0"), images.image("shop", "2.0.0")
    width = len(shop)
    assert done.stdout == (f"{'WORKLOAD':{width}}  STATUS   UPDATES\n{shop}  success  web: {old} -> 2.0.0\n")
    assert done.stderr.splitlines() == ["Submitting release ...", *pushed(repository, applied=True)]
    commit = commit_of(repository)
    assert commit.message == f"Release all latest to {shop}"
    assert (commit.author, commit.committer) == ("Weave Flux <support@weave.works>",) * 2
    assert commit.lines == [f'-        image: "{old}"', f'+        image: "{new}"']
    names = ["Flux-Job", "Flux-Kind", "Flux-Requested-By", "Flux-Credential", "Flux-User", "Flux-Updated"]
    assert [name for name, _ in commit.trailers] == names
    assert commit.values("Flux-Requested-By") == [f"system:serviceaccount:{agent.namespace}:flux-operator"]
    assert commit.values("Flux-Updated") == [f"{shop} web {old} {new}"]
    note = note_of(repository, commit.sha)
    assert note["jobID"] == commit.values("Flux-Job")[0]
    assert note["spec"]["cause"] == {"Message": "", "User": "Ann <ann@example.com>"}
    assert note["result"][shop]["PerContainer"] == [{"Container": "web", "Current": old, "Target": new}]
    assert runs(agent, namespace, "shop") == [new, images.image("side", "v1")]
    told, _ = flux("list-images", "-w", shop, "--limit=2")
    assert "'-> 2.0.0" in " ".join(told)
    assert flux("release", f"--workload={shop}", "--update-all-images", code=1) == (
        [HEADERS, f"{shop} skipped image(s) up to date"],
        ["Submitting release ...", "Error: no changes made in repo", "The table tells why, and -vv what was left out."],
    )
    assert head(repository) == commit.sha


def test_a_dry_run_tells_and_changes_nothing(flux, shop, repository, images):
    before, old = head(repository), images.image("shop", "1.0.0")
    dry = ("release", "--all", "--update-all-images", "--dry-run", "-n", shop.partition(":")[0])
    update = f"{shop} success web: {old} -> 2.0.0"
    assert flux(*dry) == ([HEADERS, update], ["Submitting dry-run release ..."])
    other = images.image("side", "v1")
    named = ("release", f"--workload={shop}", f"--update-image={other}", "--dry-run")
    assert flux(*named, "-v")[0] == [HEADERS, f"{shop} skipped image(s) up to date"]
    data = json.loads("".join(flux(*dry, "-o", "json")[0]))
    assert (data["dryRun"], data["commit"], data["workloads"][0]["containers"]) == (
        True, "", [{"container": "web", "current": old, "target": images.image("shop", "2.0.0")}]
    )  # fmt: skip
    assert head(repository) == before


def test_each_workload_that_is_left_out_is_told_with_its_reason(put, flux, images, namespace, repository):
    """One release of everything: what `-v` and `-vv` add, `--exclude`, and what `--force` does to locks."""
    images.push("shop", "1.0.0", "1.1.0")
    image, other = images.image("shop", "1.0.0"), images.image("side", "v1")
    images.push("side", "v1")
    held = {"locked": "true", "locked_user": "Ann", "locked_msg": "do not touch"}
    put({
        "plain": app(namespace, "plain", web=image),
        "held": app(namespace, "held", held, web=image),
        "picky": app(namespace, "picky", {"tag.web": "glob:1.0.*"}, web=image),
        "other": app(namespace, "other", web=other),
        "away": app(namespace, "away", web=image),
    })  # fmt: skip
    everything = ("release", "--all", "-n", namespace, "--dry-run", f"--exclude={namespace}:deployment/away")
    rows = {
        f"{namespace}:deployment/plain success web: {image} -> 1.1.0": "",
        f"{namespace}:deployment/held skipped locked": "-v",
        f"{namespace}:deployment/picky skipped image(s) up to date": "-v",
        f"{namespace}:deployment/other skipped image(s) up to date": "-v",
        f"{namespace}:deployment/away ignored excluded": "-vv",
    }
    for flag, shown in (("", {""}), ("-v", {"", "-v"}), ("-vv", {"", "-v", "-vv"})):
        table, told = flux(*everything, "--update-all-images", *([flag] if flag else []))
        assert table == [HEADERS, *sorted(row for row, level in rows.items() if level in shown)]
        assert (f"{namespace}:deployment/held: locked by Ann: do not touch" in told) == bool(flag)
    table, told = flux(*everything, f"--update-image={images.image('shop', '1.1.0')}", "--force", "-vv")
    assert f"{namespace}:deployment/held skipped locked" in table
    assert f"{namespace}:deployment/picky success web: {image} -> 1.1.0" in table
    assert f"{namespace}:deployment/other ignored a different image" in table
    assert told[0] == "Warning: --force will not ignore locked workloads when used with --all"
    before = head(repository)
    flux("release", "--all", "-n", namespace, f"--exclude={namespace}:deployment/away", "--update-all-images")
    commit = commit_of(repository)
    assert (commit.message, len(commit.lines)) == ("Release all latest to all", 2)
    assert commit_of(repository, f"{commit.sha}^").sha == before


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (["--update-image={host}:nope"], 'image "{host}:nope" does not exist: invalid image ID'),
        (["--update-image={host}"], "blank tag (if you want latest, explicitly state the tag :latest)"),
        (["--update-all-images", "--workload={namespace}:deployment/nope"], "not found in repository"),
    ],
)
def test_what_cannot_be_released_is_told(agent, shop, repository, images, wanted, reason):
    before, words = head(repository), {"host": images.image("shop"), "namespace": shop.partition(":")[0]}
    arguments = [each.format(**words) for each in wanted]
    named = [] if "--workload" in arguments[-1] else [f"--workload={shop}"]
    done = agent.kubectl_flux("release", *named, *arguments, check=False)
    assert done.returncode in (1, 2)
    assert reason.format(**words) in done.stdout + done.stderr
    assert head(repository) == before


def test_an_image_that_was_pushed_a_moment_ago_is_released_and_watched(agent, flux, shop, images, namespace):
    images.push("shop", "3.0.0")
    new, side = images.image("shop", "3.0.0"), images.image("side", "v1")
    table, told = flux("release", "-w", f"--workload={shop}", "-i", new, "-m", "Open the third shop")
    assert table[:2] == [HEADERS, f"{shop} success web: {images.image('shop', '1.0.0')} -> 3.0.0"]
    assert table[2] == "WORKLOAD CONTAINER IMAGE RELEASE REPLICAS"
    assert table[-2:] == [f"{shop} web {new} ready 1/1", f"side {side}"]
    assert told[-2:] == ["Monitoring rollout ...", "All workloads ready."]
    assert pods_run(agent, namespace) == {new, side}


def test_a_team_of_one_namespace_releases_there_and_nowhere_else(
    agent, put, images, namespace, new_namespace, repository
):
    images.push("shop", "1.0.0", "1.1.0")
    old, other = images.image("shop", "1.0.0"), new_namespace()
    put({"ours": app(namespace, "shop", web=old), "theirs": app(other, "shop", web=old)})
    account = f"team-{namespace}"
    kubectl = agent.plane.kubectl
    kubectl("create", "serviceaccount", account, "-n", agent.namespace)
    kubectl("create", "rolebinding", account, "-n", namespace, "--clusterrole=flux-operator",
            f"--serviceaccount={agent.namespace}:{account}")  # fmt: skip

    def as_team(*arguments):
        return agent.kubectl_flux(*arguments, f"--service-account={account}", check=False)

    before = head(repository)
    latest, theirs = ("release", "--update-all-images"), f"--workload={other}:deployment/shop"
    for arguments, deed in (
        ((*latest, theirs), "release images"),
        ((*latest, theirs, f"--workload={namespace}:deployment/shop"), "release images"),
        ((*latest, theirs, "--dry-run"), "release images"),
        ((*latest, "--all"), "release images"),
        ((*latest, "--all", "-n", other), "release images"),
        (("lock", theirs), "change policies"),
    ):
        done = as_team(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{account} may not {deed} in namespace {other}" in done.stderr
    assert head(repository) == before
    done = as_team(*latest, "--all", "-n", namespace)
    assert done.returncode == 0, done.stderr
    assert commit_of(repository).values("Flux-Requested-By") == [f"system:serviceaccount:{agent.namespace}:{account}"]
    assert as_team("lock", f"--workload={namespace}:deployment/shop").returncode == 0
    assert (runs(agent, namespace, "shop"), runs(agent, other, "shop")) == ([images.image("shop", "1.1.0")], [old])


# --- policies --------------------------------------------------------------------------------------------------------


def test_policies_are_written_one_line_each_and_taken_out_again(flux, put, images, namespace, repository):
    """v1's commands in the manual's order; after each what git shows of it, and after the last the file as it was."""
    images.push("shop", "1.0.0")
    original = app(namespace, "shop", {"note": "stays"}, web=images.image("shop", "1.0.0"))
    put({"shop": original})
    id_ = f"{namespace}:deployment/shop"
    several = f"Updated workload policies\n\n- %s: {id_}\n- Updated policies: {id_}"
    for command, message, change in (
        (["automate"], f"Automated: {id_}", ["+automated: true"]),
        (["deautomate"], f"Deautomated: {id_}", ["-automated: true"]),
        (["lock", "-m", "why not", "--user", "Bob <bob@example.com>"],
         f"why not\n\n- Locked: {id_}\n- Updated policies: {id_}",
         ["+locked: true", "+locked_msg: why not", "+locked_user: Bob <bob@example.com>"]),
        (["unlock"], several % "Unlocked",
         ["-locked: true", "-locked_msg: why not", "-locked_user: Bob <bob@example.com>"]),
        (["policy", "--tag-all=1.*"], f"Updated policies: {id_}", ["+tag.web: glob:1.*"]),
        (["policy", "--tag=web=semver:~1", "--lock"], several % "Locked",
         ["-tag.web: glob:1.*", "+tag.web: semver:~1", "+locked: true"]),
        (["policy", "--tag-all=*", "--unlock"], several % "Unlocked", ["-tag.web: semver:~1", "-locked: true"]),
    ):  # fmt: skip
        table, told = flux(*command, f"--workload={id_}")
        commit = commit_of(repository)
        assert (table, told) == ([HEADERS, f"{id_} success"], pushed(repository))
        assert commit.message == message
        assert [line.replace("    fluxcd.io/", "").replace('"', "") for line in commit.lines] == change
        assert commit.values("Flux-Kind") == ["policies"]
    repository.pull()
    assert (repository.tree / "shop.yaml").read_text() == original


def test_a_policy_that_makes_no_sense_is_refused(flux, shop, repository):
    before = head(repository)
    for arguments, code, words in (
        (["automate", "--workload", f"{shop}-nope"], 1, "not found in repository"),
        (["policy", f"--workload={shop}", "--tag=nope=1.*"], 1, "container(s) not found: nope"),
        (["policy", f"--workload={shop}", "--tag=web=semver:oh"], 1, 'invalid tag pattern: "semver:oh"'),
        (["policy", f"--workload={shop}"], 2, "Name a change"),
        (["policy", f"--workload={shop}", "--automate", "--deautomate"], 2, "automate and deautomate both specified"),
    ):  # fmt: skip
        table, told = flux(*arguments, code=code)
        assert words in "\n".join(table + told)
    assert flux("unlock", f"--workload={shop}")[1] == ["Nothing to do: git has it so already; -v shows each workload"]
    assert head(repository) == before


def test_policies_show_in_the_list(flux, shop, namespace):
    flux("policy", f"--workload={shop}", "--automate", "--lock", "--tag-all=glob:*")
    flux("sync")
    table, _ = flux("list-workloads", "-n", namespace)
    assert table[1].split()[-1] == "automated,locked"


# --- the tutorial "driving Flux" -------------------------------------------------------------------------------------


def test_a_locked_workload_is_released_by_force_alone(flux, shop, images, namespace, agent, repository):
    flux("lock", f"--workload={shop}", "-m", "2.0.0 does not work for us", "--user=Ann")
    new = images.image("shop", "1.1.0")
    release = ("release", f"--workload={shop}", f"--update-image={new}")
    table, told = flux(*release, code=1)
    assert table == [HEADERS, f"{shop} skipped locked"]
    assert f"{shop}: locked by Ann: 2.0.0 does not work for us" in flux(*release, "-v", code=1)[1]
    table, told = flux(*release, "--force")
    assert (table, told[1:]) == (
        [HEADERS, f"{shop} success web: {images.image('shop', '1.0.0')} -> 1.1.0"], pushed(repository, applied=True)
    )  # fmt: skip
    assert runs(agent, namespace, "shop")[0] == new
    assert len(commit_of(repository).lines) == 2
