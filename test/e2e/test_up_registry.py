"""hack/up --registry-auth: the whole main job with an image from a registry that asks for a password. Real VMs."""

import base64
import json
import os
import tempfile

import pytest
from cluster import Cluster, request, until


@pytest.fixture(scope="module")
def cluster():
    folder = tempfile.mkdtemp(prefix="berth-e2e-", dir="/var/tmp")
    os.chmod(folder, 0o755)
    c = Cluster(f"{folder}/state")
    try:
        c.up("--registry-auth")
        yield c
    finally:
        c.down()
        os.rmdir(folder)


def test_the_example_runs_and_the_registry_is_closed(cluster):
    assert cluster.get("/hello/u-1").status == 200
    assert request(f"http://{cluster.registry}/v2/hello/manifests/v1").status == 401
    assert cluster.object("container", "hello")["spec"]["imagePullSecrets"] == [{"name": "berth-registry"}]
    data = cluster.object("secret", "berth-registry")["data"][".dockerconfigjson"]
    auth = json.loads(base64.b64decode(data))["auths"][cluster.registry]["auth"]
    answer = request(f"http://{cluster.registry}/v2/hello/tags/list", headers={"Authorization": f"Basic {auth}"})
    assert answer.json()["tags"] == ["v1"]
    for secret_file in "registry-login.json", "registry.htpasswd":
        assert (cluster.state / secret_file).stat().st_mode & 0o077 == 0
    password = base64.b64decode(auth).decode().split(":", 1)[1]
    for log in (cluster.state / "log").glob("*.log"):
        assert password not in log.read_text(errors="replace") and auth not in log.read_text(errors="replace")


def test_again_without_the_option_it_stays_closed(cluster):
    before = (cluster.state / "registry-login.json").read_text()
    cluster.up("--no-example")
    assert (cluster.state / "registry-login.json").read_text() == before
    assert request(f"http://{cluster.registry}/v2/").status == 401


def test_a_container_without_the_secret_says_so(cluster):
    cluster.apply({"apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": "bare"},
                   "spec": {"image": f"{cluster.registry}/hello:v1"}})

    def message():
        conditions = cluster.object("container", "bare").get("status", {}).get("conditions", [])
        return next((c["message"] for c in conditions if c["type"] == "ImageResolved"), "")

    until("the reason", lambda: "name a Secret with them in spec.imagePullSecrets" in message(), 60)
