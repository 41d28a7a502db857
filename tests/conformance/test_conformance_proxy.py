"""The proxy to Services: what arrives there, what comes back, and what is said where nothing can be reached."""

from __future__ import annotations

import pytest
from conformance_api import fresh, until
from conformance_echo import carry_on


@pytest.fixture(scope="module")
def exposed(api):
    """The path below which a server of this process is reached through the API server's proxy."""
    name = fresh("proxied")
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    with api.expose(name, "echo") as port:
        spec = {"selector": {"app": "echo"}, "ports": [{"name": "http", "port": 80, "targetPort": port}]}
        api.create(f"/api/v1/namespaces/{name}/services", {"metadata": {"name": "echo"}, "spec": spec})
        path = f"/api/v1/namespaces/{name}/services/echo:http/proxy"
        until(lambda: api.call("GET", f"{path}/ready").status_code == 200)
        yield path
    api.call("DELETE", f"/api/v1/namespaces/{name}")


def test_a_get_arrives_with_path_and_query(api, exposed):
    answer = api.call("GET", f"{exposed}/some/path%20here", a="1", b="x y")
    assert answer.status_code == 200
    assert answer.text.splitlines()[0] == "GET /some/path%20here?a=1&b=x+y"
    assert answer.headers["X-Echo"] == "yes"


def test_a_port_may_be_named_by_its_number(api, exposed):
    assert api.call("GET", f"{exposed.replace('echo:http', 'echo:80')}/x").status_code == 200


def test_a_post_arrives_with_its_body_and_headers(api, exposed):
    headers = {"X-Flux-Token": "token", "Connect-Protocol-Version": "1"}
    answer = api.call("POST", f"{exposed}/do", b"\x00body", media="application/proto", headers=headers)
    lines = answer.content.split(b"\n")
    assert lines[0] == b"POST /do"
    assert answer.content.endswith(b"\n\x00body")
    assert {b"x-flux-token: token", b"connect-protocol-version: 1", b"content-type: application/proto"} <= set(lines)


def test_the_callers_credentials_stay_behind(api, exposed):
    headers = {
        "Authorization": "Bearer admin-token",
        "Impersonate-User": "admin",
        "Impersonate-Group": "system:masters",
    }
    answer = api.call("GET", f"{exposed}/x", headers=headers)
    assert answer.status_code == 200
    assert "authorization" not in answer.text.lower()
    assert "impersonate" not in answer.text.lower()
    assert "x-forwarded-for: " in answer.text


def test_the_services_own_status_comes_back(api, exposed):
    answer = api.call("GET", f"{exposed}/teapot")
    assert (answer.status_code, answer.text.splitlines()[0]) == (418, "GET /teapot")


def test_a_stream_arrives_part_by_part(api, exposed):
    carry_on.clear()
    with api.call("GET", f"{exposed}/stream", stream=True) as answer:
        parts = answer.iter_content(chunk_size=None)
        assert next(parts) == b"first"
        carry_on.set()
        assert b"".join(parts) == b"second"


def test_the_root_is_found_behind_a_slash(api, exposed):
    answer = api.call("GET", exposed)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"{exposed}/")
    assert api.call("GET", f"{exposed}/").text.splitlines()[0] == "GET /"


def test_services_that_are_not_there_or_lead_nowhere(api, exposed):
    base = exposed.rpartition("/services/")[0]
    assert api.refused(404, "GET", f"{base}/services/none:80/proxy/")["reason"] == "NotFound"
    spec = {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}
    api.create(f"{base}/services", {"metadata": {"name": "lonely"}, "spec": spec})
    lonely = f"{base}/services/lonely:80/proxy/"
    until(lambda: api.call("GET", lonely).status_code != 404)  # its endpoints come a moment later
    status = api.refused(503, "GET", lonely)
    assert (status["reason"], status["message"]) == (
        "ServiceUnavailable",
        'no endpoints available for service "lonely"',
    )
    status = api.refused(503, "GET", f"{base}/services/lonely:81/proxy/")
    assert status["message"] == 'no service port 81 found for service "lonely"'
