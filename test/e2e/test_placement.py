"""Placement for real: berth-apiserver and berth-scheduler decide, berthctl explains; the nodes are objects this test writes."""

import json
import os
import subprocess

import pytest

from apiserver import BIN, Apiserver
from cluster import until

NAMESPACED = "/apis/berth.dev/v1/namespaces/default"
CLUSTER = "/apis/berth.dev/v1"
MERGE = "application/merge-patch+json"
DIGEST = "sha256:" + "a" * 64
PLACES = {"fra": (50.11, 8.68, "WEUR"), "iad": (38.95, -77.45, "ENAM"), "syd": (-33.94, 151.18, "OC")}


class Cluster:
    def __init__(self, folder):
        self.server = Apiserver(folder)
        self.server.start()
        self.log = open(folder / "scheduler.log", "ab")
        self.scheduler = subprocess.Popen(
            [BIN / "berth-scheduler", "--kubeconfig", self.server.state / "scheduler.kubeconfig"],
            stdout=self.log, stderr=self.log)

    def close(self):
        self.scheduler.terminate()
        code = self.scheduler.wait(20)
        self.server.stop()
        self.log.close()
        assert code == 0

    def write(self, path, method, body, content_type="application/json"):
        r = self.server.api(path, method, body, content_type)
        assert r.status < 300, r
        return r.json()

    def create(self, path, kind, name, api="berth.dev/v1", **body):
        return self.write(path, "POST", {"apiVersion": api, "kind": kind, "metadata": {"name": name, **body.pop("metadata", {})},
                                         **body})

    def node(self, name, location, memory):
        self.create("/api/v1/nodes", "Node", name, "v1",
                    metadata={"labels": {"topology.kubernetes.io/zone": location, "topology.berth.dev/rack": f"rack-{name}"}})
        self.write(f"/api/v1/nodes/{name}/status", "PATCH", {"status": {
            "allocatable": {"cpu": "16", "memory": memory, "ephemeral-storage": "500G"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "prefetch": [{"digest": DIGEST, "phase": "Ready", "percent": 100}]}}, MERGE)
        self.create("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "Lease", name, "coordination.k8s.io/v1",
                    metadata={"namespace": "kube-node-lease"},
                    spec={"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": "2100-01-01T00:00:00.000000Z"})

    def app(self, name, **spec):
        self.create(f"{NAMESPACED}/containers", "Container", name, spec={"image": f"registry.invalid/{name}:1", **spec})
        self.create(f"{NAMESPACED}/revisions", "Revision", f"{name}-1", spec={
            "containerName": name, "number": 1, "imageDigest": DIGEST, "image": f"registry.invalid/{name}@{DIGEST}",
            "template": {"instanceType": "lite"}})

    def instance(self, container, name, **spec):
        self.create(f"{NAMESPACED}/instances", "Instance", f"{container}.{name}",
                    spec={"containerName": container, "id": name, "state": "Running", **spec})

    def get(self, instance):
        return self.server.api(f"{NAMESPACED}/instances/{instance}").json()

    def placed(self, instance):
        until(f"{instance} to be bound", lambda: self.get(instance)["spec"].get("nodeName"), 20, 0.05)
        return self.get(instance)["spec"]["nodeName"]

    def reason(self, instance):
        conditions = self.get(instance).get("status", {}).get("conditions", [])
        return next((c["reason"] for c in conditions if c["type"] == "Ready"), None)

    def events(self, instance):
        items = self.server.api("/api/v1/namespaces/default/events").json()["items"]
        return {e["reason"]: e["message"] for e in items if e["involvedObject"]["name"] == instance}

    def berthctl(self, *args, code=0):
        r = subprocess.run([BIN / "berthctl", *args], text=True, capture_output=True, timeout=60,
                           env={**os.environ, "KUBECONFIG": str(self.server.kubeconfig)})
        assert r.returncode == code, (args, r.stdout, r.stderr)
        return r.stdout if code == 0 else r.stderr


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    c = Cluster(tmp_path_factory.mktemp("placement"))
    try:
        for name, (latitude, longitude, region) in PLACES.items():
            c.create(f"{CLUSTER}/locations", "Location", name,
                     spec={"latitude": latitude, "longitude": longitude, "region": region})
        c.node("fra-1", "fra", "300Mi")
        c.node("iad-1", "iad", "1Gi")
        c.node("iad-2", "iad", "1Gi")
        c.node("syd-1", "syd", "1Gi")
        yield c
    finally:
        c.close()


def test_nearest_then_the_next_one_with_an_event(c):
    c.app("shop", placement={"excludeLocations": ["syd"]})
    c.instance("shop", "one", origin="fra")
    assert c.placed("shop.one") == "fra-1"
    c.instance("shop", "two", origin="fra")
    assert c.placed("shop.two") == "iad-1"
    until("the Event", lambda: "Redirected" in c.events("shop.two"), 10, 0.05)
    assert c.events("shop.two")["Redirected"] == "From Location fra to iad: insufficient memory"
    assert "Redirected" not in c.events("shop.one")

    text = c.berthctl("explain", "placement", "shop.two")
    assert "Origin:    fra, by the gateway" in text
    rows = [line.split("   ") for line in text.split("\n\n")[1].splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[1][0] == "iad" and cells[1][2] == "iad-1" and cells[1][-1] == "chosen"
    fra = next(row for row in cells if row[0] == "fra")
    assert fra[1:3] == ["0 km", "fra-1"] and fra[-1] == "insufficient memory"
    report = json.loads(c.berthctl("explain", "placement", "instance/shop.two", "-o", "json"))
    assert report["node"] == "iad-1" and report["candidates"][0]["verdict"] == "chosen"
    assert 6450 < report["candidates"][0]["distanceKm"] < 6650
    assert "originFrom: the gateway" in c.berthctl("explain", "placement", "shop.two", "-o", "yaml")


def test_the_network_of_the_client_goes_first(c):
    c.app("near")
    c.instance("near", "a", origin="fra", clientLocation="syd")
    assert c.placed("near.a") == "syd-1"
    assert "syd, by the client's network" in c.berthctl("explain", "placement", "near.a")


def test_instances_go_to_different_nodes(c):
    c.app("spread", placement={"locations": ["iad"], "strategy": "Smart"})
    for name in ("a", "b"):
        c.instance("spread", name, origin="iad")
    assert {c.placed("spread.a"), c.placed("spread.b")} == {"iad-1", "iad-2"}


def test_why_not(c):
    c.app("lost", placement={"regions": ["OC"]})
    c.write("/api/v1/nodes/syd-1", "PATCH", {"spec": {"unschedulable": True}}, MERGE)
    c.instance("lost", "a", origin="fra")
    until("the reason", lambda: c.reason("lost.a") == "Unschedulable", 20, 0.05)
    text = c.berthctl("why-not", "lost.a")
    assert text.startswith("instance lost.a: it waits (Unschedulable: 3 nodes: placement does not allow its Location; "
                           "1 node: node is cordoned)")
    assert "node is cordoned" in text.split("\n\n")[1]
    text = c.berthctl("why-not", "container/lost")
    assert text.startswith("container lost: 1 instance is not running that should") and "lost.a" in text
    report = json.loads(c.berthctl("why-not", "lost", "-o", "json"))
    assert [w["instance"] for w in report["waiting"]] == ["lost.a"]

    c.write("/api/v1/nodes/syd-1", "PATCH", {"spec": {"unschedulable": None}}, MERGE)
    assert c.placed("lost.a") == "syd-1"
    assert c.berthctl("why-not", "lost.a").startswith("instance lost.a: it is Scheduled on node syd-1 in Location syd")
    assert c.berthctl("why-not", "container/lost").startswith("container lost: 0 instances are not running that should")


def test_errors_say_what_to_do(c):
    assert "neither an Instance nor a Container" in c.berthctl("why-not", "nobody", code=1)
    assert "why-not is about instance/NAME or container/NAME" in c.berthctl("why-not", "node/fra-1", code=2)
    assert "kubectl explain" in c.berthctl("explain", "weather", "x", code=2)
    assert "not found" in c.berthctl("explain", "placement", "nobody", code=1)
    assert "it takes json or yaml" in c.berthctl("explain", "placement", "shop.one", "-o", "wide", code=2)
    assert "usage: berthctl why-not" in c.berthctl("why-not", code=2)
