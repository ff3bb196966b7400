"""The main job: apply a Container, ask for an ID, get an answer from inside its own VM. Real VMs, real everything."""

import concurrent.futures
import json
import socket
import subprocess
import threading
import time

import pytest

from cluster import ROOT, until


def test_hello_answers_from_inside_its_vm(cluster):
    answer = cluster.get("/hello/u-1")
    assert answer.status == 200, answer
    hello = answer.json()
    assert hello["id"] == "u-1" and hello["instance"] == "hello.u-1" and hello["revision"] == "hello-1"
    host = open("/proc/sys/kernel/random/boot_id").read().strip()
    assert hello["bootId"] != host and len(hello["bootId"]) == 36
    assert "cloud-amd64" in hello["kernel"]
    status = cluster.instance("hello.u-1")["status"]
    assert status["phase"] == "Ready" and status["bootId"] == hello["bootId"]
    assert status["location"] == hello["location"]


def test_an_id_keeps_its_vm_and_another_gets_another(cluster):
    first, again, other = (cluster.get(f"/hello/{i}").json() for i in ("u-1", "u-1", "u-2"))
    assert first["bootId"] == again["bootId"]
    assert other["bootId"] != first["bootId"] and other["id"] == "u-2"


def test_a_hundred_first_requests_start_one_vm(cluster):
    before = set(cluster.domains())
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: cluster.get("/hello/stampede"), range(100)))
    assert [a.status for a in answers] == [200] * 100
    assert len({a.json()["bootId"] for a in answers}) == 1
    assert len(set(cluster.domains()) - before) == 1


def test_sleep_and_wake(cluster):
    cluster.deploy("nap", sleepAfter="2s")
    first = cluster.get("/nap/a").json()
    until("nap.a to fall asleep", lambda: cluster.phase("nap.a") == "Asleep", 60)
    second = cluster.get("/nap/a")
    assert second.status == 200 and second.json()["bootId"] != first["bootId"]


def test_a_request_under_way_holds_sleep_off(cluster):
    cluster.deploy("hold", sleepAfter="1s")
    boot = cluster.get("/hold/a").json()["bootId"]
    slow = cluster.get("/hold/a/slow?seconds=6")
    assert slow.status == 200
    assert cluster.get("/hold/a").json()["bootId"] == boot


def test_agent_killed_vm_lives(cluster):
    boot = cluster.get("/hello/u-1").json()["bootId"]
    cluster.kill("agent")
    assert cluster.get("/hello/u-1").json()["bootId"] == boot
    cluster.up("--no-example")
    until("the agent to speak for hello.u-1 again", lambda: cluster.berthctl("exec", "hello.u-1", "--", "true", check=False).returncode == 0)
    assert cluster.get("/hello/u-1").json()["bootId"] == boot
    assert cluster.get("/hello/u-new-agent").status == 200


def test_no_acknowledged_write_is_lost(cluster):
    path = "/api/v1/namespaces/default/configmaps"
    acknowledged, stop, lock = [], threading.Event(), threading.Lock()

    def write(worker):
        n = 0
        while not stop.is_set():
            name = f"w{worker}-{n}"
            try:
                a = cluster.api(path, "POST", {"metadata": {"name": name}, "data": {"n": str(n)}}, timeout=5)
            except OSError:
                time.sleep(0.02)
                continue
            if a.status == 201:
                with lock:
                    acknowledged.append((name, int(a.json()["metadata"]["resourceVersion"])))
                n += 1
            elif a.status == 409:
                n += 1

    workers = [threading.Thread(target=write, args=(w,)) for w in range(8)]
    for w in workers:
        w.start()
    for _ in range(5):
        seen = len(acknowledged)
        until("writes to go on", lambda: len(acknowledged) > seen + 50, 30, 0.02)
        cluster.kill("apiserver")
        cluster.up("--no-example")
    stop.set()
    for w in workers:
        w.join()
    listed = {o["metadata"]["name"]: int(o["metadata"]["resourceVersion"]) for o in cluster.api(path).json()["items"]}
    lost = [name for name, version in acknowledged if listed.get(name) != version]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are gone: {lost[:5]}"
    versions = [version for _, version in acknowledged]
    assert len(set(versions)) == len(versions)


def test_rollout_over_three_instances(cluster):
    cluster.deploy("roll")
    for i in "abc":
        assert cluster.get(f"/roll/{i}").status == 200
    subprocess.run([ROOT / "hack/build-hello", f"{cluster.registry}/hello:v2", str(ROOT / "build" / cluster.build)],
                   check=True, env=dict(cluster.env, HELLO_VERSION="v2"))
    cluster.deploy("roll", image=f"{cluster.registry}/hello:v2")

    def finished():
        status = cluster.object("container", "roll")["status"]
        return status if status["updatedRevision"] == "roll-2" and status["rollout"]["phase"] == "Complete" else None

    status = until("the rollout to be complete", finished, 180)
    assert status["currentRevision"] == "roll-2"
    for i in "abc":
        s = cluster.instance(f"roll.{i}")["status"]
        assert s["phase"] == "Ready" and s["imageDigest"] == status["imageDigest"] and s["revision"] == "roll-2"
        assert cluster.get(f"/roll/{i}").json()["revision"] == "roll-2"


def test_from_a_dockerfile_to_an_answer(cluster, tmp_path):
    """berthctl deploy with the registry that hack/up published; the second time the running instance moves."""
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/storage"\n')
    env = dict(cluster.env, CONTAINERS_STORAGE_CONF=f"{tmp_path}/storage.conf", BUILDAH_ISOLATION="chroot")
    app = tmp_path / "app"
    app.mkdir()
    (app / "hello").write_bytes((ROOT / "build" / cluster.build / "hello/hello").read_bytes())
    (app / "hello").chmod(0o755)
    (app / "dock.yaml").write_text(
        "apiVersion: berth.dev/v1\nkind: Container\nmetadata: {name: dock}\n"
        "spec: {image: ., ports: [{containerPort: 8080}]}\n---\n"
        "apiVersion: berth.dev/v1\nkind: Route\nmetadata: {name: dock}\nspec:\n  rules:\n"
        "    - matches: [{path: {type: PathPrefix, value: /dock}}]\n"
        "      backend: {container: dock, instance: {pathSegment: 2}}\n")
    for version in "v1", "v2":
        (app / "Dockerfile").write_text(
            f'FROM scratch\nCOPY hello /app/hello\nENV HELLO_VERSION={version}\nENTRYPOINT ["/app/hello"]\n')
        r = subprocess.run([cluster.bin / "berthctl", "--kubeconfig", cluster.kubeconfig, "deploy", "-f", app / "dock.yaml",
                            "--timeout=300s"], env=env, text=True, capture_output=True, timeout=400)
        assert r.returncode == 0, r.stdout + r.stderr
        assert f"dock-{version[1]} is rolled out" in r.stderr
        until("the Route", lambda: cluster.get("/dock/u-1").status == 200, 120, 1)
        hello = cluster.get("/dock/u-1").json()
        assert hello["version"] == version and hello["revision"] == f"dock-{version[1]}"


def test_top_shows_what_an_instance_uses(cluster):
    assert cluster.get("/hello/u-1").status == 200
    lines = cluster.berthctl("top", "instances").stdout.splitlines()
    header, row = (next(line.split() for line in lines if line.startswith(w)) for w in ("NAME", "hello.u-1 "))
    cells = dict(zip(header, row))
    assert 0 < float(cells["MEMORY%"].removesuffix("%").removeprefix("<")) < 100, lines
    received, sent = cells["NET-IN/OUT"].split("/")
    assert not received.startswith("0") and not sent.startswith("0"), lines


def test_max_instances_is_never_exceeded(cluster):
    cluster.deploy("few", maxInstances=2)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: cluster.get(f"/few/{i}", timeout=170), range(8)))
    assert sorted(a.status for a in answers) == [200] * 2 + [503] * 6
    for i, answer in enumerate(answers):
        if answer.status == 503:
            assert answer.headers["Retry-After"] and b"maxInstances" in answer.body
            assert cluster.phase(f"few.{i}") == "Pending"
    assert cluster.object("container", "few")["status"]["instances"]["running"] == 2


def test_exec_logs_and_exit_codes(cluster):
    cluster.get("/hello/u-1")
    r = cluster.berthctl("exec", "hello.u-1", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (r.returncode, r.stdout, r.stderr) == (7, "out\n", "err\n")
    r = cluster.berthctl("exec", "-i", "hello.u-1", "--", "cat", input="through and back\n" * 1000)
    assert r.stdout == "through and back\n" * 1000
    assert "listening" in cluster.berthctl("logs", "hello.u-1").stdout


@pytest.mark.parametrize("path,status", [("/hello/", 400), ("/nowhere", 404), ("/hello/" + "x" * 300, 400)])
def test_requests_that_lead_nowhere(cluster, path, status):
    assert cluster.get(path).status == status


def test_a_vm_is_reached_by_the_gateway_alone(cluster):
    cluster.get("/hello/u-1")
    address = cluster.instance("hello.u-1")["status"]["address"]
    with pytest.raises(OSError):
        socket.create_connection((address, 8080), timeout=3)
    script = "wget -T 3 -q -O - http://{}:{}/ || echo refused"
    for host, port in (("169.254.1.1", cluster.ports["NODE_PORT"]), ("169.254.1.1", 22), ("169.254.169.254", 80)):
        r = cluster.berthctl("exec", "hello.u-1", "--", "sh", "-c", script.format(host, port))
        assert r.stdout.strip() == "refused"


BAD = {
    "not YAML": ("a: [", "invalid YAML"),
    "unknown field": (json.dumps({"apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": "bad"},
                                  "spec": {"image": "x", "imagee": "y"}}), "imagee"),
    "wrong type": (json.dumps({"apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": "bad"},
                               "spec": {"image": 5}}), "spec.image"),
    "out of bounds": (json.dumps({"apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": "bad"},
                                  "spec": {"image": "x", "maxInstances": -1}}), "spec.maxInstances"),
    "bad name": (json.dumps({"apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": "Bad_Name"},
                             "spec": {"image": "x"}}), "metadata.name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_manifests_are_refused_with_the_reason(cluster, case):
    text, names = BAD[case]
    path = "/apis/berth.dev/v1/namespaces/default/containers?fieldValidation=Strict"
    kind = "application/yaml" if case == "not YAML" else "application/json"
    answer = cluster.api(path, "POST", text.encode(), kind)
    assert 400 <= answer.status < 500
    status = answer.json()
    assert status["kind"] == "Status" and status["status"] == "Failure" and names in json.dumps(status)


def test_oversized_and_broken_json(cluster):
    path = "/api/v1/namespaces/default/configmaps"
    big = cluster.api(path, "POST", {"metadata": {"name": "big"}, "data": {"k": "x" * (4 << 20)}})
    assert big.status == 413 and big.json()["reason"] == "RequestEntityTooLarge"
    assert cluster.api(path, "POST", b'{"metadata": {"name": ').status == 400
    assert cluster.api(path, "POST", b"[" * 100000).status == 400


def test_delete_takes_the_vm_away(cluster):
    assert cluster.get("/hello/brief").status == 200
    uid = cluster.instance("hello.brief")["metadata"]["uid"]
    assert any(uid[:8] in d for d in cluster.domains())
    cluster.berthctl("delete", "instance", "hello.brief", timeout=120)
    assert not any(uid[:8] in d for d in cluster.domains())


def test_no_component_was_refused(cluster):
    """The roles of scheduler, gateway and node are complete: nothing they did above was answered with 401 or 403."""
    lines = [line for line in cluster.api("/metrics").body.decode().splitlines() if "berth_apiserver_responses_total{" in line]
    assert any('code="200"' in line for line in lines), lines
    assert not [line for line in lines if 'code="401"' in line or 'code="403"' in line], lines
