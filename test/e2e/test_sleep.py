"""Sleep that keeps the memory (sleepMode: Suspend): what a wake finds again, and when the VM is given up. Real VMs."""

import concurrent.futures
import os
import pathlib
import subprocess
import time

from cluster import until


def virsh(*args):
    return subprocess.run(["virsh", "-q", "-c", "qemu:///system", *args], text=True, capture_output=True).stdout.strip()


def domain_of(cluster, name):
    uid = cluster.instance(name)["metadata"]["uid"]
    found = [d for d in cluster.domains() if uid[:8] in d]
    assert len(found) <= 1
    return found[0] if found else None


def suspended(cluster, name):
    """The Instance, when its status says that it sleeps with its VM kept."""
    i = cluster.instance(name)
    return i if i["status"]["phase"] == "Asleep" and i["status"].get("suspended") else None


def asleep_without_vm(cluster, name):
    i = cluster.instance(name)
    return i if i["status"]["phase"] == "Asleep" and not i["status"].get("suspended") else None


def patch(cluster, name, body):
    answer = cluster.api(f"/apis/berth.dev/v1/namespaces/default/instances/{name}", "PATCH", body, "application/merge-patch+json")
    assert answer.status == 200, answer


def put_to_sleep(cluster, name):
    patch(cluster, name, {"spec": {"state": "Asleep"}})
    i = until(f"{name} to be suspended", lambda: suspended(cluster, name), 60)
    assert virsh("domstate", domain_of(cluster, name)) == "paused"
    return i


def deploy(cluster, name, **spec):
    cluster.deploy(name, **{"sleepMode": "Suspend", "sleepAfter": "1h", **spec})


def test_a_wake_finds_everything_as_it_was(cluster):
    deploy(cluster, "nap", sleepAfter="2s")
    first = cluster.get("/nap/a").json()
    name = first["instance"]
    asleep = until("it to be suspended", lambda: suspended(cluster, name), 60)
    since = time.monotonic()
    domain = domain_of(cluster, name)
    assert virsh("domstate", domain) == "paused"
    assert "address" not in asleep["status"] and asleep["status"]["bootId"] == first["bootId"]
    until("its clock to be wrong", lambda: time.monotonic() - since > 5, 10)
    second = cluster.get("/nap/a")
    assert second.status == 200
    awake = cluster.instance(name)
    assert (second.json()["bootId"], second.json()["pid"]) == (first["bootId"], first["pid"])
    assert second.json()["requests"] == first["requests"] + 1
    status, before = awake["status"], asleep["status"]
    assert status["phase"] == "Ready" and "suspended" not in status and status["restarts"] == 0
    assert status["vmGeneration"] == awake["spec"]["vmGeneration"] == before["vmGeneration"] + 1
    assert "resumeMs" in status["wake"] and "bootMs" not in status["wake"] and "createMs" not in status["wake"]
    assert domain_of(cluster, name) == domain
    clock = int(cluster.berthctl("exec", name, "--", "date", "+%s").stdout)
    assert abs(clock - time.time()) < 3


def test_many_sleeps(cluster):
    deploy(cluster, "often")
    first = cluster.get("/often/a").json()
    for n in range(1, 6):
        put_to_sleep(cluster, first["instance"])
        again = cluster.get("/often/a").json()
        assert (again["bootId"], again["requests"]) == (first["bootId"], first["requests"] + n)


def test_a_hundred_requests_resume_one_vm(cluster):
    deploy(cluster, "crowd")
    first = cluster.get("/crowd/a").json()
    put_to_sleep(cluster, first["instance"])
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: cluster.get("/crowd/a"), range(100)))
    assert [a.status for a in answers] == [200] * 100 and {a.json()["bootId"] for a in answers} == {first["bootId"]}


def test_nothing_is_asked_of_a_suspended_guest(cluster):
    deploy(cluster, "mute")
    name = cluster.get("/mute/a").json()["instance"]
    put_to_sleep(cluster, name)
    r = cluster.berthctl("exec", name, "--", "true", check=False)
    assert r.returncode and "woken by a request" in r.stderr
    assert "listening" in cluster.berthctl("logs", name).stdout
    path = f"/apis/berth.dev/v1/namespaces/default/instances/{name}/signal?signal=15"
    answer = cluster.api(path, "POST")
    assert answer.status == 409 and "suspended" in answer.json()["message"]


def test_a_rollout_meanwhile_is_what_the_wake_starts(cluster):
    deploy(cluster, "moved")
    first = cluster.get("/moved/a").json()
    name = first["instance"]
    put_to_sleep(cluster, name)
    deploy(cluster, "moved", env=[{"name": "GREETING", "value": "2"}])
    until("the rollout to be complete", lambda: (cluster.object("container", "moved")["status"]["currentRevision"] == "moved-2"), 60)
    assert suspended(cluster, name)
    second = cluster.get("/moved/a")
    assert second.status == 200
    assert second.json()["revision"] == "moved-2" and second.json()["bootId"] != first["bootId"]
    status = cluster.instance(name)["status"]
    assert status["lastExit"]["reason"] == "Completed"  # it had its SIGTERM
    assert "resumeMs" not in status["wake"] and "bootMs" in status["wake"]


def test_the_scheduler_takes_the_memory_back(cluster):
    deploy(cluster, "evicted")
    name = cluster.get("/evicted/a").json()["instance"]
    i = put_to_sleep(cluster, name)
    patch(cluster, name, {"metadata": {"annotations": {"berth.dev/drop-suspended": str(i["spec"]["vmGeneration"])}}})
    status = until("its VM to be gone", lambda: asleep_without_vm(cluster, name), 60)["status"]
    assert status["lastExit"]["reason"] == "Completed" and not domain_of(cluster, name)
    assert cluster.get("/evicted/a").status == 200


def test_suspended_ones_leave_room_for_others(cluster):
    deploy(cluster, "few", maxInstances=1)
    first = cluster.get("/few/a").json()
    put_to_sleep(cluster, first["instance"])
    other = cluster.get("/few/b").json()
    counts = until("the count", lambda: cluster.object("container", "few")["status"]["instances"].get("suspended") and
                   cluster.object("container", "few")["status"]["instances"], 20)
    assert counts["running"] == 1 and counts["asleep"] == 1
    refused = cluster.get("/few/a")
    assert refused.status == 503 and b"maxInstances" in refused.body
    assert virsh("domstate", domain_of(cluster, first["instance"])) == "paused"
    put_to_sleep(cluster, other["instance"])
    again = until("it to answer", lambda: (lambda a: a if a.status == 200 else None)(cluster.get("/few/a")), 30)
    assert again.json()["bootId"] == first["bootId"]


def test_an_agent_killed_meanwhile(cluster):
    deploy(cluster, "kept")
    first = cluster.get("/kept/a").json()
    name = first["instance"]
    put_to_sleep(cluster, name)
    domain = domain_of(cluster, name)
    cluster.kill("agent")
    assert virsh("domstate", domain) == "paused"
    cluster.up("--no-example")
    until("the agent to be Ready", lambda: any(
        c["type"] == "Ready" and c["status"] == "True" for c in cluster.object("node", "test-node")["status"]["conditions"]))
    assert virsh("domstate", domain) == "paused" and suspended(cluster, name)
    second = cluster.get("/kept/a").json()
    assert (second["bootId"], second["requests"]) == (first["bootId"], first["requests"] + 1)
    # The VM now runs under a generation that its domain does not bear.
    cluster.kill("agent")
    cluster.up("--no-example")
    until("the agent to speak for it again", lambda: cluster.berthctl("exec", name, "--", "true", check=False).returncode == 0)
    third = cluster.get("/kept/a").json()
    assert (third["bootId"], third["requests"]) == (first["bootId"], first["requests"] + 2)
    # And it is woken while nobody is there to do it.
    generation = put_to_sleep(cluster, name)["spec"]["vmGeneration"]
    cluster.kill("agent")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cluster.get, "/kept/a")
        until("the binding", lambda: cluster.instance(name)["spec"]["vmGeneration"] > generation, 20)
        cluster.up("--no-example")
        assert answer.result().json()["bootId"] == first["bootId"]


def test_libvirtd_killed_meanwhile(cluster):
    deploy(cluster, "steady")
    first = cluster.get("/steady/a").json()
    put_to_sleep(cluster, first["instance"])
    cluster.kill("libvirtd")
    cluster.up("--no-example")
    assert virsh("domstate", domain_of(cluster, first["instance"])) == "paused"
    assert cluster.get("/steady/a").json()["bootId"] == first["bootId"]


def test_a_vm_that_dies_while_suspended_is_made_anew(cluster):
    deploy(cluster, "lost")
    first = cluster.get("/lost/a").json()
    name = first["instance"]
    put_to_sleep(cluster, name)
    domain = domain_of(cluster, name)
    os.kill(int(pathlib.Path(f"/run/libvirt/qemu/{domain}.pid").read_text()), 9)
    status = until("the loss to be told", lambda: asleep_without_vm(cluster, name), 60)["status"]
    assert status["restarts"] == 0
    again = cluster.get("/lost/a")
    assert again.status == 200 and again.json()["bootId"] != first["bootId"]


def test_stopped_while_suspended(cluster):
    deploy(cluster, "halted")
    name = cluster.get("/halted/a").json()["instance"]
    put_to_sleep(cluster, name)
    patch(cluster, name, {"spec": {"state": "Stopped"}})
    until("it to be Stopped", lambda: cluster.phase(name) == "Stopped", 60)
    status = cluster.instance(name)["status"]
    assert "suspended" not in status and status["lastExit"]["reason"] == "Completed"
    assert not domain_of(cluster, name)


def test_deletion_leaves_nothing_behind(cluster):
    deploy(cluster, "brief")
    name = cluster.get("/brief/a").json()["instance"]
    put_to_sleep(cluster, name)
    uid = cluster.instance(name)["metadata"]["uid"]
    folder = cluster.state / "agent" / "instances" / uid
    assert folder.exists()
    cluster.berthctl("delete", "instance", name, timeout=120)
    assert not any(uid[:8] in d for d in cluster.domains())
    assert not pathlib.Path(f"/sys/class/net/bt{uid[:8]}").exists()
    until("its folder to be gone", lambda: not folder.exists(), 20)
