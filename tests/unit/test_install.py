"""`kubectl flux install`: the manifests by their options, its flags, and `deploy/`, made of the same templates."""

from __future__ import annotations

import csv
import re
import string
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.flags import parse
from agent.settings import Settings
from kubectl_flux.arguments import _BOOLEANS
from kubectl_flux.errors import UsageError
from kubectl_flux.install.__main__ import BASE
from kubectl_flux.install.options import PLACEHOLDER_IMAGE, InstallOptions, check
from kubectl_flux.install.render import arguments, quoted, render, stream
from kubectl_flux.main import main

ROOT = Path(__file__).parents[2]
OPTIONS = InstallOptions(git_url="git@git.example.com:acme/cluster", git_email="flux@example.com")
ARGV = ["install", "--git-url=git@git.example.com:acme/cluster", "--git-email=flux@example.com"]


def objects(options):
    return list(yaml.load_all(stream(render(options)), Loader=yaml.CSafeLoader))


def one(options, kind, name="flux"):
    (found,) = [made for made in objects(options) if (made["kind"], made["metadata"]["name"]) == (kind, name)]
    return found


def container(options):
    return one(options, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def as_the_kubelet_passes(argument, env=None):
    """Kubernetes' expansion of `$(NAME)` and `$$`."""
    known = env or {}
    return re.sub(r"\$(\$|\((\w+)\))", lambda m: "$" if m[1] == "$" else known.get(m[2], m[0]), argument)


# -- what is made -----------------------------------------------------------------------------------------------------


def test_every_object_is_there_in_the_order_to_apply_them():
    made = [(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in objects(OPTIONS)]
    assert made == [
        ("Namespace", "flux", None),
        ("ServiceAccount", "flux", "flux"),
        ("ClusterRole", "flux", None),
        ("ClusterRoleBinding", "flux", None),
        ("ServiceAccount", "flux-viewer", "flux"),
        ("ServiceAccount", "flux-operator", "flux"),
        ("ClusterRole", "flux-viewer", None),
        ("ClusterRole", "flux-operator", None),
        ("ClusterRoleBinding", "flux-viewer", None),
        ("ClusterRoleBinding", "flux-operator", None),
        ("Role", "flux-viewer", "flux"),
        ("Role", "flux-operator", "flux"),
        ("Role", "flux-port-forward", "flux"),
        ("Secret", "flux-git-deploy", "flux"),
        ("Service", "flux", "flux"),
        ("Deployment", "flux", "flux"),
    ]


def test_the_agent_gets_v1s_flags_and_understands_them():
    assert container(OPTIONS)["args"] == [
        "--git-url=git@git.example.com:acme/cluster",
        "--git-branch=master",
        "--git-label=flux",
        "--git-user=Flux",
        "--git-email=flux@example.com",
        "--cache-dir=/var/cache/flux",
    ]
    everything = replace(
        OPTIONS,
        git_paths=("apps", "a,b", 'say "hi"'),
        git_readonly=True,
        manifest_generation=True,
        registry_disable_scanning=True,
        allowed_namespaces=("one", "two"),
    )
    settings = parse(container(everything)["args"], {})
    assert isinstance(settings, Settings)
    assert settings.git.paths == ("apps", "a,b", 'say "hi"')
    assert (settings.git.sync_tag, settings.git.readonly) == ("flux", True)
    assert settings.cluster.allowed_namespaces == ("one", "two")


def test_the_pod_is_confined_unless_it_is_asked_not_to_say_so():
    pod = one(OPTIONS, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]
    assert container(OPTIONS)["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"] for mount in container(OPTIONS)["volumeMounts"]}
    assert mounts >= {"/tmp", "/var/cache/flux", "/etc/fluxd/ssh"}
    bare = replace(OPTIONS, add_security_context=False)
    assert "security" not in stream(render(bare)).replace("--add-security-context", "").lower()


def test_agents_of_one_cluster_share_no_cluster_wide_object():
    def cluster_wide(namespace):
        made = objects(replace(OPTIONS, namespace=namespace))
        return {(each["kind"], each["metadata"]["name"]) for each in made if "namespace" not in each["metadata"]}

    names = ["flux", "viewer", "operator", "team", "operator-team"]
    every = [cluster_wide(name) for name in names]
    assert len(set.union(*every)) == sum(map(len, every)) == 7 * len(names)


def test_each_binding_means_this_agents_account_and_role():
    for options in (replace(OPTIONS, namespace="team"), replace(OPTIONS, namespace="team", namespaced=True)):
        made = objects(options)
        roles = {(each["kind"], each["metadata"]["name"]) for each in made if each["kind"].endswith("Role")}
        for binding in [each for each in made if each["kind"].endswith("Binding")]:
            assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in roles
            (subject,) = binding["subjects"]
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "team")
            assert binding["metadata"]["name"] == f"{subject['name']}:team"


def test_a_namespaced_agent_has_one_right_outside_its_namespaces():
    options = replace(OPTIONS, namespaced=True, allowed_namespaces=("one", "two", "one"))
    made = objects(options)
    (everywhere,) = [each for each in made if each["kind"] == "ClusterRoleBinding"]
    assert one(options, "ClusterRole", everywhere["roleRef"]["name"])["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    bound = {
        (each["metadata"]["namespace"], each["metadata"]["name"]) for each in made if each["kind"] == "RoleBinding"
    }
    accounts = ("flux", "flux-viewer", "flux-operator")
    assert bound == {(space, name) for space in ("one", "two") for name in accounts} | {("flux", "flux")}
    assert "--k8s-allow-namespace=one,two" in container(options)["args"]
    assert "--k8s-allow-namespace=flux" in container(replace(OPTIONS, namespaced=True))["args"]


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_a_namespace_of_the_cluster_is_no_part_of_it(namespace):
    assert {each["kind"] for each in objects(replace(OPTIONS, namespace=namespace))}.isdisjoint({"Namespace"})
    assert "flux-ns.yaml" not in render(replace(OPTIONS, create_namespace=False))


def test_the_network_policy_opens_the_services_ports_only():
    options = replace(OPTIONS, network_policy=True)
    policy = one(options, "NetworkPolicy")["spec"]
    ports = [port["port"] for port in one(options, "Service")["spec"]["ports"]]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ports == [3030, 3032]
    assert one(options, "Deployment")["spec"]["template"]["metadata"]["labels"].items() >= set(
        policy["podSelector"]["matchLabels"].items()
    )


# -- quoting ----------------------------------------------------------------------------------------------------------

PRINTABLE = st.text(st.characters().filter(str.isprintable), min_size=1)
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8) | st.sampled_from(
    ["1e3", "0x1f", "123", "yes", "no", "null", "true", "on", "off", "n", "y", "1-2", "0o7"]
)


@given(PRINTABLE, PRINTABLE, PRINTABLE, NAMES)
def test_every_value_arrives_as_it_was_given(url, email, image, namespace):
    options = replace(OPTIONS, git_url=url, git_email=email, image=image, namespace=namespace, git_paths=(url,))
    args = container(options)["args"]
    assert args == arguments(options)
    assert {"--git-email=" + email, "--git-url=" + url} <= {as_the_kubelet_passes(argument) for argument in args}
    (paths,) = [argument for argument in args if argument.startswith("--git-path=")]
    assert next(csv.reader([as_the_kubelet_passes(paths).removeprefix("--git-path=")])) == [url]
    assert container(options)["image"] == image
    assert {each["metadata"].get("namespace", namespace) for each in objects(options)} == {namespace}


def test_what_kubernetes_reads_as_a_number_or_a_boolean_is_quoted():
    """`1e3` is a text to PyYAML and a number to Kubernetes, so the property above does not see it."""
    for text in ("1e3", "0x1f", "123", "yes", "n", "Null", "off", ".inf", "-1", "~", ""):
        assert quoted(text) == f'"{text}"'
    for text in ("flux", "team-a", "--git-url=ssh://git@h.example.com:22/x", "registry.example.com:5000/a/b:1"):
        assert quoted(text) == text


def test_names_of_environment_variables_stay_and_other_dollars_do():
    url = "https://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@git.example.com/$HOME/$$/x"
    (given_url, *_) = arguments(replace(OPTIONS, git_url=url))
    env = {"GIT_AUTHUSER": "me", "GIT_AUTHKEY": "k"}
    assert as_the_kubelet_passes(given_url, env) == "--git-url=https://me:k@git.example.com/$HOME/$$/x"
    assert {each["name"] for each in container(OPTIONS)["env"]} == set(env)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"git_url": " "}, "please supply a valid --git-url argument"),
        ({"git_email": ""}, "please supply a valid --git-email argument"),
        ({"image": "a b"}, "--image"),
        ({"git_email": "a\nb"}, "the --git-email argument has a character that cannot be printed"),
        ({"git_paths": ("a", "b\x85")}, "the --git-path argument has a character"),
        ({"git_paths": ("apps", "/infra")}, 'invalid argument "/infra" for "--git-path" flag'),
        ({"git_paths": ("a/../..",)}, 'invalid argument "a/../.." for "--git-path" flag'),
        ({"namespace": "Flux"}, 'invalid argument "Flux" for "-n, --namespace" flag'),
        ({"namespace": "a" * 64}, "--namespace"),
        ({"allowed_namespaces": ("one", "*")}, 'invalid argument "*" for "--k8s-allow-namespace" flag'),
        ({"git_url": "https://me:s3cret@git.example.com/x"}, "carries a password"),
        ({"git_url": "https://me:s3cret/@x@git.example.com/x"}, "carries a password"),
        ({"git_url": "https://:s3cret@git.example.com/x"}, "carries a password"),
        ({"git_url": "https://$(GIT_AUTHUSER):s3cret@git.example.com/x"}, "carries a password"),
    ],
)
def test_what_cannot_be_right_is_refused(change, said):
    with pytest.raises(UsageError) as caught:
        check(replace(OPTIONS, **change))
    assert said in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "git@git.example.com:acme/cluster",
        "ssh://git@git.example.com:2222/acme/cluster",
        "https://acme@git.example.com/x",
        "https://git.example.com:8443/x@y",
        "https://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@git.example.com/x",
        "file:///srv/git",
    ],
)
def test_what_has_no_password_is_accepted(url):
    check(replace(OPTIONS, git_url=url))


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_one_stream_for_kubectl(capsys):
    assert main(ARGV) == 0
    out, err = capsys.readouterr()
    assert out == stream(render(OPTIONS))
    assert err == f"Note: no image is published, {PLACEHOLDER_IMAGE} stands for your own; name it with --image\n"


def test_every_flag_reaches_the_manifests(capsys):
    argv = [
        *ARGV,
        *("--git-branch=main", "--git-path=a,b", "--git-path", "c", "--git-label=x", "--git-user=Ann B"),
        *(
            "--git-readonly",
            "--manifest-generation=true",
            "--registry-disable-scanning",
            "-n",
            "team",
            "--image=i:1",
            "--namespaced",
        ),
        *("--add-security-context=false", "--create-namespace=false", "--network-policy"),
        "--k8s-allow-namespace=one,two",
    ]
    assert main(argv) == 0
    options = replace(
        OPTIONS,
        git_branch="main",
        git_paths=("a", "b", "c"),
        git_label="x",
        git_user="Ann B",
        git_readonly=True,
        manifest_generation=True,
        registry_disable_scanning=True,
        namespace="team",
        image="i:1",
        namespaced=True,
        add_security_context=False,
        create_namespace=False,
        network_policy=True,
        allowed_namespaces=("one", "two"),
    )
    assert capsys.readouterr() == (stream(render(options)), "")


@pytest.mark.parametrize("word", _BOOLEANS)
def test_a_flag_that_is_on_by_default_is_switched_as_any_other(word, capsys):
    assert main([*ARGV, f"--add-security-context={word}"]) == 0
    assert ("runAsNonRoot" in capsys.readouterr().out) is _BOOLEANS[word]


def test_the_agents_namespace_of_the_environment_is_where_it_goes(monkeypatch, capsys):
    monkeypatch.setenv("FLUX_FORWARD_NAMESPACE", "team")
    assert main(ARGV) == 0
    assert capsys.readouterr().out == stream(render(replace(OPTIONS, namespace="team")))


def test_a_folder_gets_a_file_each_under_v1s_names(tmp_path, capsys):
    assert main([*ARGV, "--image=i:1", "-o", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    made = render(replace(OPTIONS, image="i:1"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == made
    assert {"flux-account.yaml", "flux-deployment.yaml", "flux-secret.yaml"} <= set(made)
    assert (out, err.splitlines()) == ("", [f"writing {tmp_path / name}" for name in made])


def test_a_folder_that_is_not_there_is_told(tmp_path, capsys):
    assert main([*ARGV, "--image=i:1", "-o", str(tmp_path / "nowhere")]) == 1
    assert f"Error: {tmp_path / 'nowhere'} is not a directory\n" in capsys.readouterr().err


def test_missing_flags_are_told_in_v1s_words(capsys):
    assert main(["install"]) == 2
    assert capsys.readouterr().err == (
        "Error: please supply a valid --git-url argument\nRun 'kubectl flux install --help' for usage.\n"
    )


# -- where the templates go -------------------------------------------------------------------------------------------


def test_the_folder_deploy_is_what_the_templates_make():
    written = {path.name: path.read_text() for path in (ROOT / "deploy").glob("*.yaml")}
    kustomization = yaml.safe_load(written.pop("kustomization.yaml"))
    assert written == render(BASE), "run: make docs"
    assert kustomization["resources"] == list(render(BASE))


def test_the_wheel_holds_every_template(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    held = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "install/templates/" in name}
    assert held == {path.name for path in (ROOT / "kubectl_flux/install/templates").iterdir()}
