"""Unmodified kubectls against the apiserver: every command a user of Berth needs, on every kind."""

import contextlib
import json
import threading

import pytest

from apiserver import kubectls
from cluster import until

CONTAINER = """\
apiVersion: berth.dev/v1
kind: Container
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  image: registry.example.com/hello:{tag}
  ports:
    - {{name: http, containerPort: 8080}}
  env:
    - {{name: A, value: "1"}}
"""
OBJECTS = {
    "containers": CONTAINER.format(name="every", tag="1"),
    "routes": """\
apiVersion: berth.dev/v1
kind: Route
metadata: {name: every}
spec:
  rules:
    - matches: [{path: {value: /every}}]
      backend: {container: every, instance: {pathSegment: 2}}
""",
    "instances": """\
apiVersion: berth.dev/v1
kind: Instance
metadata: {name: every.1}
spec: {containerName: every, id: "1"}
""",
    "revisions": """\
apiVersion: berth.dev/v1
kind: Revision
metadata: {name: every-1}
spec:
  containerName: every
  number: 1
  image: registry.example.com/hello@sha256:%(digest)s
  imageDigest: sha256:%(digest)s
  template: {}
""" % {"digest": "0" * 64},
    "images": """\
apiVersion: berth.dev/v1
kind: Image
metadata: {name: sha256-%(digest)s}
spec: {reference: "registry.example.com/hello@sha256:%(digest)s", digest: "sha256:%(digest)s", locations: [every]}
""" % {"digest": "0" * 64},
    "locations": """\
apiVersion: berth.dev/v1
kind: Location
metadata: {name: every}
spec: {latitude: 50.11, longitude: 8.68, region: WEUR, country: DE}
""",
    "nodes": """\
apiVersion: v1
kind: Node
metadata: {name: every, labels: {topology.kubernetes.io/zone: every}}
""",
    "namespaces": "apiVersion: v1\nkind: Namespace\nmetadata: {name: every}\n",
    "configmaps": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: every}\ndata: {a: b}\n",
    "secrets": "apiVersion: v1\nkind: Secret\nmetadata: {name: every}\nstringData: {a: b}\n",
    "serviceaccounts": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: every}\n",
    "events": """\
apiVersion: v1
kind: Event
metadata: {name: every}
involvedObject: {apiVersion: berth.dev/v1, kind: Container, name: every, namespace: default}
type: Normal
reason: Tested
message: It was tested
source: {component: test}
firstTimestamp: "2026-01-02T03:04:05Z"
lastTimestamp: "2026-01-02T03:04:05Z"
count: 1
""",
    "leases": """\
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: every}
spec: {holderIdentity: every, leaseDurationSeconds: 40}
""",
    "roles": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: every}
rules:
  - {apiGroups: [berth.dev], resources: [instances], verbs: [get]}
""",
    "clusterroles": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: every}
rules:
  - {nonResourceURLs: [/metrics], verbs: [get]}
""",
    "rolebindings": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: every}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: every}
subjects:
  - {kind: ServiceAccount, name: every, namespace: default}
""",
    "clusterrolebindings": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: every}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: every}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: every}
""",
}
QUESTIONS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews", "subjectaccessreviews", "tokenreviews"}


def pytest_generate_tests(metafunc):
    if "program" in metafunc.fixturenames:
        metafunc.parametrize("program", kubectls())


@pytest.fixture
def k(program, all_kubectls):
    """Each kubectl there is."""
    return all_kubectls[program]


@contextlib.contextmanager
def objects(k, *manifests):
    """Objects that exist for a while."""
    try:
        for manifest in manifests:
            k("create", "-f", "-", input=manifest)
            if "kind: Instance" in manifest:  # there is no agent here that would say that its VM is gone
                k("patch", "--type=merge", "-p", '{"metadata":{"finalizers":null}}', "-f", "-", input=manifest)
        yield
    finally:
        for manifest in manifests:
            k("delete", "--ignore-not-found", "-f", "-", input=manifest)


def status_of(apiserver, path, status):
    r = apiserver.api(path + "/status", "PATCH", {"status": status}, "application/merge-patch+json")
    assert r.status == 200, r


def rows(text):
    return [line.split() for line in text.splitlines() if line.strip()]


def test_version_and_resources(k):
    assert "v1.3" in k("version").stdout
    resources = {row[0] for row in rows(k("api-resources", "--no-headers").stdout)}
    assert resources == set(OBJECTS) | QUESTIONS
    assert {"v1", "berth.dev/v1", "coordination.k8s.io/v1"} <= set(k("api-versions").stdout.split())
    assert "containers" in k("api-resources", "-o", "name", "--api-group=berth.dev").stdout


def test_explain_every_kind(k):
    for plural in OBJECTS:
        text = k("explain", plural, "--recursive").stdout
        assert "metadata" in text and "creationTimestamp" in text, text
        assert "DESCRIPTION" in k("explain", plural).stdout
    text = k("explain", "ct.spec.rollout.stepPercentage").stdout
    assert "[]integer" in text and "ascending" in text
    assert "Port to ask" in k("explain", "containers.spec.readiness.httpGet").stdout
    assert "does not exist" in k("explain", "ct.spec.imag", code=1).stderr


def test_every_kind_is_created_shown_and_deleted(k):
    with objects(k, *OBJECTS.values()):
        for plural, manifest in OBJECTS.items():
            name = "sha256-" + "0" * 64 if plural == "images" else {"instances": "every.1", "revisions": "every-1"}.get(plural, "every")
            table = rows(k("get", plural).stdout)
            wide = rows(k("get", plural, "-o", "wide").stdout)
            assert len(wide[0]) >= len(table[0])
            assert plural == "events" or [r for r in table if r[0] == name], table
            assert k("get", plural, name, "-o", "name").stdout.strip().endswith("/" + name)
            obj = json.loads(k("get", plural, name, "-o", "json").stdout)
            assert obj["metadata"]["uid"] and obj["metadata"]["resourceVersion"]
            assert name in k("get", plural, "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
            assert name in k("describe", plural, name).stdout
            k("label", plural, name, "tested=yes")
            assert name in k("get", plural, "-l", "tested=yes,!other", "-o", "name").stdout
            assert not k("get", plural, "-l", "tested in (no)", "-o", "name").stdout
            k("annotate", plural, name, "tested=yes")
            k("apply", "-f", "-", input=manifest)
            deleted = k("delete", plural, name).stdout
            assert "deleted" in deleted
            assert "NotFound" in k("get", plural, name, code=1).stderr


def test_categories_and_short_names(k):
    with objects(k, OBJECTS["containers"], OBJECTS["routes"], OBJECTS["instances"]):
        text = k("get", "all").stdout
        for name in ("container.berth.dev/every", "route.berth.dev/every", "instance.berth.dev/every.1"):
            assert name in text
        assert "every" in k("get", "ct,inst,routes", "-A").stdout
        for short in ("ct", "inst", "rev", "img", "loc", "no", "ns", "cm", "sa"):
            k("get", short)


def test_apply_changes_what_changed(k):
    one, two = CONTAINER.format(name="applied", tag="1"), CONTAINER.format(name="applied", tag="2")
    try:
        assert "created" in k("apply", "-f", "-", input=one).stdout
        assert "unchanged" in k("apply", "-f", "-", input=one).stdout
        assert not k("diff", "-f", "-", input=one).stdout
        assert "+  image: registry.example.com/hello:2" in k("diff", "-f", "-", input=two, code=1).stdout
        assert "server dry run" in k("apply", "--dry-run=server", "-f", "-", input=two).stdout
        assert k("get", "ct", "applied", "-o", "jsonpath={.spec.image}").stdout.endswith(":1")
        assert "configured" in k("apply", "-f", "-", input=two).stdout
        obj = json.loads(k("get", "ct", "applied", "-o", "json").stdout)
        assert obj["spec"]["image"].endswith(":2") and obj["metadata"]["generation"] == 2
        assert obj["spec"]["maxInstances"] == 20 and obj["spec"]["rollout"]["stepPercentage"] == [10, 100]
        k("apply", "-f", "-", input=two.split("  env:")[0])
        assert "env" not in json.loads(k("get", "ct", "applied", "-o", "json").stdout)["spec"]
        assert "registry.example.com/hello:2" in k("apply", "view-last-applied", "ct/applied").stdout
    finally:
        k("delete", "ct", "applied", "--ignore-not-found")


def test_route_stays_unchanged(k):
    try:
        k("apply", "-f", "-", input=OBJECTS["routes"])
        assert "unchanged" in k("apply", "-f", "-", input=OBJECTS["routes"]).stdout
    finally:
        k("delete", "route", "every", "--ignore-not-found")


def test_server_side_apply(k):
    one, two = CONTAINER.format(name="ssa", tag="1"), CONTAINER.format(name="ssa", tag="2")
    ssa = ["apply", "--server-side", "-f", "-"]
    try:
        assert "serverside-applied" in k(*ssa, input=one).stdout
        before = k("get", "ct", "ssa", "-o", "jsonpath={.metadata.resourceVersion}").stdout
        k(*ssa, input=one)
        assert k("get", "ct", "ssa", "-o", "jsonpath={.metadata.resourceVersion}").stdout == before
        other = k(*ssa, "--field-manager=other", input=two, code=1).stderr
        assert 'conflict with "kubectl": .spec.image' in other
        k(*ssa, "--field-manager=other", "--force-conflicts", input=two)
        assert 'conflict with "other": .spec.image' in k(*ssa, input=one, code=1).stderr
        k(*ssa, input=two.split("  env:")[0])
        obj = json.loads(k("get", "ct", "ssa", "-o", "json").stdout)
        assert obj["spec"]["env"] == [{"name": "A", "value": "1"}], "other still owns it"
        k(*ssa, "--field-manager=other", input=two.split("  env:")[0])
        assert "env" not in json.loads(k("get", "ct", "ssa", "-o", "json").stdout)["spec"]
        assert not k("diff", "--server-side", "-f", "-", input=two.split("  env:")[0], code=None).stdout
    finally:
        k("delete", "ct", "ssa", "--ignore-not-found")


def test_from_client_side_to_server_side_apply(k):
    manifest = CONTAINER.format(name="migrated", tag="1")
    try:
        k("apply", "-f", "-", input=manifest)
        k("apply", "--server-side", "-f", "-", input=manifest, code=None if k.minor < 26 else 0)
        if k.minor < 26:
            k("apply", "--server-side", "--force-conflicts", "-f", "-", input=manifest)
        k("apply", "--server-side", "-f", "-", input=manifest)
        obj = json.loads(k("get", "ct", "migrated", "-o", "json", *(["--show-managed-fields"] if k.minor > 20 else [])).stdout)
        owners = {(m["manager"], m["operation"]) for m in obj["metadata"]["managedFields"]}
        assert ("kubectl", "Apply") in owners
        if k.minor >= 26:
            assert ("kubectl-client-side-apply", "Update") not in owners
    finally:
        k("delete", "ct", "migrated", "--ignore-not-found")


def test_faults_are_named(k):
    good = CONTAINER.format(name="bad", tag="1")
    assert 'imag' in k("create", "-f", "-", input=good.replace("image:", "imag:"), code=1).stderr
    typo = good.replace("  ports:", "  port: 3\n  ports:")
    text = k("create", "-f", "-", input=typo, code=1).stderr
    assert 'unknown field "spec.port"' in text or 'unknown field "port" in dev.berth.v1.Container.spec' in text
    text = k("create", "-f", "-", "--validate=false", input=good + "  maxInstances: -1\n  instanceType: huge\n", code=1).stderr
    assert 'The Container "bad" is invalid' in text
    assert "spec.maxInstances: Invalid value: -1: spec.maxInstances in body should be greater than or equal to 0" in text
    assert 'spec.instanceType: Unsupported value: "huge": supported values: "lite", "basic"' in text
    text = k("create", "-f", "-", "--validate=false", input=good.replace("8080", "http"), code=1).stderr
    assert 'spec.ports[0].containerPort in body must be of type integer: "string"' in text
    with objects(k, OBJECTS["containers"], OBJECTS["instances"]):
        text = k("patch", "inst", "every.1", "--type=merge", "-p", '{"spec":{"id":"2"}}', code=1).stderr
        assert 'spec.id: Invalid value: "2": field is immutable' in text
    assert "field label not supported: spec.image" in k("get", "ct", "--field-selector=spec.image=x", code=1).stderr


def test_patch_scale_replace_edit(k):
    with objects(k, OBJECTS["containers"]):
        k("patch", "ct", "every", "--type=merge", "-p", '{"spec":{"maxInstances":3}}')
        k("patch", "ct", "every", "--type=json", "-p", '[{"op":"add","path":"/spec/args","value":["-v"]}]')
        assert "test failed" in k("patch", "ct", "every", "--type=json", "-p",
                                  '[{"op":"test","path":"/spec/maxInstances","value":4}]', code=1).stderr
        k("patch", "ct", "every", "-p", '{"spec":{"maxInstances":3}}', code=1)  # strategic is for standard kinds alone
        k("scale", "ct", "every", "--replicas=7")
        k("scale", "ct", "every", "--current-replicas=7", "--replicas=8")
        obj = json.loads(k("get", "ct", "every", "-o", "json").stdout)
        assert obj["spec"]["maxInstances"] == 8 and obj["spec"]["args"] == ["-v"]
        obj["spec"]["maxInstances"] = 9
        k("replace", "-f", "-", input=json.dumps(obj))
        assert "the object has been modified" in k("replace", "-f", "-", input=json.dumps(obj), code=1).stderr
        k("edit", "ct", "every", env={"EDITOR": "sed -i s/maxInstances:.9/maxInstances:\\ 10/"})
        assert k("get", "ct", "every", "-o", "jsonpath={.spec.maxInstances}").stdout == "10"


def test_watch(k):
    process = k.start("get", "ct", "-w", "--output-watch-events")
    lines = []
    threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True).start()
    try:
        number = 0

        def seen(*words):
            return [line for line in lines if all(word in line.split() for word in words)]

        def touch():
            nonlocal number
            number += 1
            k("apply", "-f", "-", input=CONTAINER.format(name="watched", tag=number))
            return seen("watched")

        until("the watch to begin", touch)
        k("delete", "ct", "watched")
        until("the deletion", lambda: seen("DELETED", "watched"))
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_wait_and_describe(k, apiserver):
    with objects(k, OBJECTS["containers"]):
        uid = k("get", "ct", "every", "-o", "jsonpath={.metadata.uid}").stdout
        k("create", "-f", "-", input=OBJECTS["events"].replace("kind: Container", f"kind: Container, uid: {uid}"))
        assert "timed out" in k("wait", "ct/every", "--for=condition=Available", "--timeout=1s", code=1).stderr
        process = k.start("wait", "ct/every", "--for=condition=Available", "--timeout=60s")
        status_of(apiserver, "/apis/berth.dev/v1/namespaces/default/containers/every",
                  {"conditions": [{"type": "Available", "status": "True", "reason": "Tested", "message": "It works",
                                   "lastTransitionTime": "2026-01-02T03:04:05Z"}]})
        assert process.wait(60) == 0
        text = k("describe", "ct", "every").stdout
        assert "It works" in text and "Image:" in text and "It was tested" in text
        k("delete", "event", "every")
        process = k.start("wait", "ct/every", "--for=delete", "--timeout=60s")
        k("delete", "ct", "every")
        # kubectl before 1.22 takes an object that was gone already for an error
        assert process.wait(60) == 0 or (k.minor < 22 and "found" in process.stdout.read())


def test_lists_in_pages_and_by_field(k):
    manifests = [CONTAINER.format(name=f"page-{i}", tag="1") for i in range(7)]
    with objects(k, "---\n".join(manifests)):
        assert len(rows(k("get", "ct", "--chunk-size=2", "--no-headers").stdout)) == 7
        by_name = k("get", "ct", "--sort-by=.metadata.name", "--no-headers").stdout
        assert [row[0] for row in rows(by_name)] == [f"page-{i}" for i in range(7)]
        assert k("get", "ct", "--field-selector=metadata.name=page-3", "-o", "name").stdout.strip().endswith("/page-3")
        assert "deleted" in k("delete", "ct", "-l", "app in (page-0,page-1)").stdout
        assert len(rows(k("get", "ct", "--no-headers").stdout)) == 5


def test_standard_kinds_that_kubectl_makes_itself(k):
    """kubectl from 1.32 on sends these as protobuf."""
    try:
        k("create", "namespace", "made")
        k("-n", "made", "create", "configmap", "made", "--from-literal=a=b")
        k("-n", "made", "create", "secret", "generic", "made", "--from-literal=a=b")
        k("-n", "made", "create", "serviceaccount", "made")
        assert k("-n", "made", "get", "cm", "made", "-o", "jsonpath={.data.a}").stdout == "b"
        assert k("-n", "made", "get", "secret", "made", "-o", "jsonpath={.data.a}{.type}").stdout == "Yg==Opaque"
    finally:
        k("delete", "namespace", "made", "--ignore-not-found")
    assert "NotFound" in k("get", "ns", "made", code=1).stderr


def test_nodes(k, apiserver):
    with objects(k, OBJECTS["nodes"]):
        status_of(apiserver, "/api/v1/nodes/every",
                  {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v0.1.0"},
                   "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                   "capacity": {"cpu": 4, "memory": "8Gi"}, "allocatable": {"cpu": "4", "memory": "8Gi"}})
        k("cordon", "every")
        assert "Ready,SchedulingDisabled" in k("get", "node", "every").stdout
        k("uncordon", "every")
        assert rows(k("get", "node", "every", "--no-headers").stdout)[0][1] == "Ready"
        k("taint", "node", "every", "a=b:NoSchedule")
        k("taint", "node", "every", "a-")
        text = k("get", "node", "every", "-o", "wide").stdout
        assert "10.0.0.1" in text and "v0.1.0" in text and "every" in text
        assert "10.0.0.1" in k("describe", "node", "every").stdout
