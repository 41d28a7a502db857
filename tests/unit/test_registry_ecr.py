"""Credentials for ECR: botocore against stand-ins of AWS's API and instance metadata, and what is scanned."""

import base64
import contextlib
import http.server
import json
import logging
import os
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs

import pytest

from agent.model.errors import UsageError
from agent.model.images import Reference
from agent.registry.clouds.ecr import Ecr, EcrHost, EcrSettings, host_of, reason_against
from agent.registry.clouds.renewed import EARLY, FIRST_EMBARGO
from agent.registry.errors import RegistryError

SECRET = "word-that-nobody-may-see"
REGION = "eu-west-1"


def image(account="111122223333", region=REGION):
    return Reference.parse(f"{account}.dkr.ecr.{region}.amazonaws.com/acme/shop:1")


class Aws:
    """ECR and STS behind AWS_ENDPOINT_URL, and instance metadata."""

    def __init__(self):
        self.asked, self.refusal, self.lifetime, self.zone = [], None, 12 * 3600, ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                status, text = outer.answer(self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names that http.server asks for

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, path, headers, body):
        if path == "/latest/api/token":
            self.asked.append("metadata")
            return (200, "metadata-token") if self.zone else (404, "")
        if path.startswith("/latest/meta-data/placement"):
            return (200, self.zone) if self.zone else (404, "")
        if "AssumeRoleWithWebIdentity" in body:
            self.asked.append(f"role {parse_qs(body)['RoleArn'][0]} {parse_qs(body)['WebIdentityToken'][0]}")
            return 200, (
                '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
                "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ROLE</AccessKeyId>"
                f"<SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{SECRET}</SessionToken>"
                "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
                "</AssumeRoleWithWebIdentityResponse>"
            )
        assert headers["X-Amz-Target"].endswith(".GetAuthorizationToken")
        key, _, region = headers["Authorization"].partition("Credential=")[2].split("/")[:3]
        self.asked.append(f"token {key} {region}")
        if self.refusal is not None:
            return self.refusal
        token = base64.b64encode(f"AWS:{SECRET}-{len(self.asked)}".encode()).decode()
        data = {"authorizationToken": token, "expiresAt": time.time() + self.lifetime, "proxyEndpoint": "https://x"}
        return 200, json.dumps({"authorizationData": [data]})

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def aws(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with contextlib.closing(Aws()) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url,
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
            "AWS_ACCESS_KEY_ID": "KEY",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def clock():
    return [0.0]


def ecr(clock, **settings):
    return Ecr(EcrSettings(**({"regions": (REGION,)} | settings)), lambda: clock[0])


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", EcrHost("111122223333", "eu-west-1")),
        ("111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com", EcrHost("111122223333", "us-gov-west-1")),
        ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", EcrHost("111122223333", "cn-north-1")),
        ("111122223333.dkr-ecr.eu-west-1.on.aws", EcrHost("111122223333", "eu-west-1")),
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com.example.com", None),
        ("111122223333.dkr.ecr.eu.west.amazonaws.com", None),
        ("me.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("public.ecr.aws", None),
        ("quay.io", None),
    ],
)
def test_ecr_is_known_by_its_hosts(host, found):
    assert host_of(Reference.parse(f"{host}/acme/shop")) == found


@pytest.mark.parametrize(
    ("settings", "which", "reason"),
    [
        ({}, image(), ""),
        ({}, Reference.parse("quay.io/acme/shop"), ""),
        ({}, image(region="us-east-1"), "region us-east-1 is not included by --registry-ecr-region"),
        ({"regions": ()}, image(region="us-east-1"), "not the cluster's own, eu-west-1"),
        ({}, image("602401143452"), "602401143452 is excluded by --registry-ecr-exclude-id"),
        ({"include_ids": ("9" * 12,)}, image(), "111122223333 is not included by --registry-ecr-include-id"),
        ({"include_ids": ("111122223333",)}, image(), ""),
        ({"include_ids": ("111122223333",), "exclude_ids": ("111122223333",)}, image(), "excluded"),
    ],
)
def test_what_is_scanned_follows_regions_and_accounts(settings, which, reason):
    told = reason_against(which, EcrSettings(**({"regions": (REGION,)} | settings)), (REGION,))
    assert reason in told and bool(told) == bool(reason)


def test_a_regions_token_is_fetched_once_and_renewed_in_time(aws, clock):
    cloud = ecr(clock)
    first = cloud.credential(image())
    assert (first.name, first.username, first.password) == ("AWS's token for ECR in eu-west-1", "AWS", f"{SECRET}-1")
    assert cloud.credential(image("444455556666")) == first
    assert cloud.credential(Reference.parse("quay.io/acme/shop")) is None
    assert aws.asked == ["token KEY eu-west-1"]
    assert SECRET not in repr(first)
    clock[0] += 12 * 3600 - EARLY
    assert cloud.credential(image()).password == f"{SECRET}-2"


def test_a_token_that_ends_soon_is_renewed_sooner(aws, clock):
    aws.lifetime, cloud = 600, ecr(clock)
    first = cloud.credential(image())
    clock[0] += 301
    assert cloud.credential(image()) != first


def test_what_is_not_scanned_is_not_asked_for(aws, clock):
    cloud = ecr(clock, exclude_ids=("111122223333",))
    assert cloud.credential(image()) is None
    assert cloud.credential(image("444455556666", "us-east-1")) is None
    assert not aws.asked


def test_a_refusal_is_told_without_secrets_and_not_repeated_at_once(aws, clock, caplog):
    caplog.set_level(logging.INFO)
    message = f"The request signature does not match.\n\nThe canonical string was x-amz-security-token:{SECRET}"
    aws.refusal = (400, json.dumps({"__type": "InvalidSignatureException", "message": message}))
    cloud = ecr(clock)
    for _ in range(3):
        with pytest.raises(RegistryError, match="AWS gives no token for ECR in eu-west-1: The request sig") as caught:
            cloud.credential(image())
        assert SECRET not in f"{caught.value} {caught.value!r} {caplog.text}"
    assert aws.asked == ["token KEY eu-west-1"]
    aws.refusal = None
    clock[0] += FIRST_EMBARGO
    assert cloud.credential(image()).username == "AWS"


@pytest.mark.parametrize(
    "answer", ["{}", '{"authorizationData": []}', '{"authorizationData": [{"authorizationToken": "%"}]}']
)
def test_an_answer_without_a_token_is_told(aws, clock, answer):
    aws.refusal = (200, answer)
    with pytest.raises(RegistryError, match="its answer holds none"):
        ecr(clock).credential(image())


def test_a_web_identity_is_changed_into_a_role(aws, clock, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("service-account-token")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/flux")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    assert ecr(clock, regions=()).credential(image()).username == "AWS"
    assert aws.asked == ["role arn:aws:iam::111122223333:role/flux service-account-token", "token ROLE eu-west-1"]


def test_the_region_is_the_machines_where_none_is_given(aws, clock):
    aws.zone = "us-east-2b"
    cloud = ecr(clock, regions=())
    assert cloud.reason_against(image(region="us-east-2")) == ""
    assert "not the cluster's own, us-east-2" in cloud.reason_against(image())
    assert aws.asked == ["metadata"]
    cloud.check()


def test_metadata_that_is_away_is_told_and_asked_again_later(aws, clock):
    cloud = ecr(clock, regions=())
    for _ in range(3):
        told = cloud.reason_against(image())
        assert "the AWS region of this cluster is not known" in told and "--registry-ecr-region" in told
        assert cloud.credential(image()) is None
    assert aws.asked == ["metadata"]
    assert cloud.reason_against(Reference.parse("quay.io/acme/shop")) == ""
    aws.zone = "eu-west-1a"
    clock[0] += FIRST_EMBARGO
    assert cloud.reason_against(image()) == ""


def test_requiring_ecr_fails_where_aws_cannot_be_used(aws, clock, monkeypatch):
    ecr(clock).check()
    with pytest.raises(UsageError, match="--registry-require=ecr cannot be met: the AWS region of this cluster"):
        ecr(clock, regions=()).check()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError, match="the AWS region of this cluster is not known"):
        ecr(clock, regions=()).check()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(UsageError, match=r"Unable to locate credentials .*ecr:GetAuthorizationToken"):
        ecr(clock).check()


def test_one_region_that_works_is_enough(aws, clock):
    ecr(clock, regions=("no such region", REGION)).check()


def test_an_answer_that_is_not_awss_is_told(aws, clock, monkeypatch, tmp_path, caplog):
    aws.refusal = (403, "<html>")
    with pytest.raises(RegistryError, match="AWS gives no token for ECR in eu-west-1: "):
        ecr(clock).credential(image())
    (tmp_path / "token").write_text("service-account-token")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/flux")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    for text in ("no XML", "<AssumeRoleWithWebIdentityResponse/>"):
        monkeypatch.setattr(aws, "answer", lambda *_, text=text: (200, text))
        with pytest.raises(RegistryError, match="AWS gives no token for ECR in eu-west-1: an answer is not AWS's"):
            ecr(clock).credential(image())
    assert not caplog.text


def test_an_api_that_is_away_is_told(aws, clock, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RegistryError, match="Could not connect to the endpoint") as caught:
        ecr(clock).credential(image())
    assert caught.value.temporary


def test_without_botocore_the_error_says_how_to_get_it(clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore", None)
    for name in [name for name in sys.modules if name.startswith("botocore.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "agent.registry.clouds.aws", raising=False)
    monkeypatch.delattr("agent.registry.clouds.aws", raising=False)
    with pytest.raises(RegistryError, match=r"botocore is not installed \(pip install 'kubectl-flux\[aws\]'\)"):
        ecr(clock).credential(image())
    with pytest.raises(UsageError, match=r"botocore is not installed \(pip install 'kubectl-flux\[aws\]'\)"):
        ecr(clock).check()


def test_botocore_is_imported_only_when_it_is_needed():
    code = "import sys, agent.registry.clouds.ecr; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
