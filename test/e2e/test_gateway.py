"""The gateway for real: berth-apiserver, berth-gateway and HAProxy; only the VMs are played by fake_agent.py.

Needs no root, but where it has root HAProxy runs as its own user as it does in production.
"""

import concurrent.futures
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from cluster import alive, free_port, until
from fake_agent import BASE, MERGE
from gateway_world import BIN, CLUSTER, World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    folder.chmod(0o711)
    for parent in list(folder.parents)[:2]:
        parent.chmod(0o711)
    w = World(folder)
    w.start()
    yield w
    w.close()
    print("fake agent:", *w.agent.errors, sep="\n  ")
    assert not alive(w.gateway.pid)


def websocket(w, path):
    s = socket.create_connection(("127.0.0.1", w.port), timeout=30)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = s.recv(4096)
        assert data, head
        head += data
    assert head.startswith(b"HTTP/1.1 101"), head
    return s


class Load:
    """Requests one after the other from several threads, until told to stop; keeps everything that is not a 200."""

    def __init__(self, w, paths, threads=4):
        self.bad, self.count, self.over = [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(w, paths)) for _ in range(threads)]

    def run(self, w, paths):
        n = 0
        while not self.over.is_set():
            r = w.get(paths[n % len(paths)])
            n += 1
            self.count += 1
            if r.status != 200:
                self.bad.append(r)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for t in self.threads:
            t.join()


# ---- requests and instances ----


def test_cold_then_warm(world):
    world.app("hello")
    evil = {"Berth-Instance": "evil", "X-Forwarded-For": "9.9.9.9", "Proxy": "evil"}
    r = world.get("/hello/u1/x?y=1", headers=evil)
    assert r.status == 200, r
    seen = r.json()
    assert seen["instance"] == "hello.u1" and seen["path"] == "/hello/u1/x?y=1"
    h = seen["headers"]
    assert h["berth-instance"] == "default/hello/u1" and h["berth-instance-id"] == "u1"
    assert h["x-forwarded-for"] == "127.0.0.1" and h["x-forwarded-proto"] == "http"
    assert h["x-forwarded-host"] == f"127.0.0.1:{world.port}" and len(h["x-request-id"]) >= 32 and "proxy" not in h
    spec = world.instance("hello.u1")["spec"]
    assert spec["state"] == "Running" and spec["origin"] == "here" and spec["id"] == "u1"
    until("the map entry", lambda: sum(world.metric("berth_gateway_map_entries")) >= 1, 10, 0.05)
    asked = sum(world.metric("berth_gateway_lookups_total"))
    for _ in range(20):
        assert world.get("/hello/u1").status == 200
    assert sum(world.metric("berth_gateway_lookups_total")) == asked, "a warm request asks nobody"


def test_stampede_makes_one_instance(world):
    world.app("herd")
    world.agent.delay = 0.5
    before = sum(world.metric("berth_gateway_wake_writes_total"))
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda n: world.get(f"/herd/one?n={n}"), range(100)))
    world.agent.delay = 0
    assert [r for r in answers if r.status != 200] == []
    assert {r.json()["generation"] for r in answers} == {1}
    assert sum(world.metric("berth_gateway_wake_writes_total")) == before + 1
    assert world.instance("herd.one")["spec"]["vmGeneration"] == 1


def test_body_of_a_request_that_waits(world):
    world.app("upload")
    body = os.urandom(3_000_000)
    r = world.get("/upload/u", method="POST", body=body)
    assert r.status == 200 and r.json()["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("raw", ["u%201", "%C3%A4", "A.b_c~-", "a%2Fb", "x'y(z)!*", "+", "a;b=c", "%22%5c%23", "z" * 256])
def test_ids_of_all_kinds(world, raw):
    if world.api(f"{BASE}/containers/ids").status == 404:
        world.app("ids")
    r = world.get(f"/ids/{raw}")
    assert r.status == 200, r
    first = r.json()["instance"]
    until("its map entry", lambda: first in world.agent.apps, 5, 0.05)
    other = "".join(f"%{b:02x}" for b in urllib.parse.unquote_to_bytes(raw))
    r = world.get(f"/ids/{other}")
    assert r.status == 200 and r.json()["instance"] == first, "two spellings of one ID"


@pytest.mark.parametrize("path", ["/bad/", "/bad", "/bad//x", "/bad/%zz", "/bad/%00", "/bad/%0a", "/bad/" + "x" * 257])
def test_bad_ids(world, path):
    if world.api(f"{BASE}/containers/bad").status == 404:
        world.app("bad")
    r = world.get(path)
    assert r.status == 400 and r.json()["reason"] == "InvalidID", r


def test_two_ids_two_instances(world):
    world.app("pair")
    assert {world.get(f"/pair/{i}").json()["instance"] for i in "ab"} == {"pair.a", "pair.b"}


# ---- sleep ----


def test_sleeps_when_idle_and_wakes(world):
    world.app("sleepy", sleepAfter="1s")
    assert world.get("/sleepy/a").json()["generation"] == 1
    until("it to sleep", lambda: world.phase("sleepy.a") == "Asleep", 20)
    assert world.instance("sleepy.a")["spec"]["state"] == "Asleep"
    r = world.get("/sleepy/a")
    assert r.status == 200 and r.json()["generation"] == 2


def test_notes_when_it_was_used_last(world):
    world.app("noted", sleepAfter="300ms")
    assert world.get("/noted/a").status == 200
    until("its last activity", lambda: world.instance("noted.a")["status"].get("lastActiveTime"), 20)


def test_websocket_and_slow_request_hold_sleep_off(world):
    world.app("busy", sleepAfter="1s")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        s = websocket(world, "/busy/ws")
        slow = pool.submit(world.get, "/busy/slow?slow=6")
        assert world.get("/busy/idle").status == 200
        until("the idle one to sleep", lambda: world.phase("busy.idle") == "Asleep", 20)
        until("three more idle times", lambda: slow.done(), 30)
        assert slow.result().status == 200
        assert world.phase("busy.ws") == "Ready"
        s.sendall(b"ping")
        assert s.recv(4) == b"ping"
        s.close()
    until("both to sleep", lambda: [world.phase(f"busy.{i}") for i in ("ws", "slow")] == ["Asleep"] * 2, 20)


def test_requests_while_falling_asleep(world):
    """Requests come as often as sleep does; none may be lost."""
    world.app("edge", sleepAfter="300ms")
    end = time.monotonic() + 12
    n, pause = 0, 0.25
    while time.monotonic() < end:
        r = world.get("/edge/a")
        assert r.status == 200, (n, r)
        n += 1
        pause = 0.25 + (n * 37 % 23) / 50
        time.sleep(pause)
    assert world.instance("edge.a")["spec"]["vmGeneration"] > 2


def test_stopped_by_its_owner(world):
    world.app("halted")
    assert world.get("/halted/a").status == 200
    world.api(f"{BASE}/instances/halted.a", "PATCH", {"spec": {"state": "Stopped"}}, MERGE)
    r = until("503", lambda: (lambda r: r if r.status == 503 else None)(world.get("/halted/a")), 10)
    assert r.json()["reason"] == "InstanceStopped"
    assert world.instance("halted.a")["spec"]["state"] == "Stopped"


# ---- what cannot be answered ----


def test_failed_instance(world):
    world.agent.failing.add("broken")
    world.app("broken")
    r = world.get("/broken/a")
    assert r.status == 503 and r.json()["reason"] == "InstanceFailed" and "exit code 7" in r.json()["message"], r
    assert int(r.headers["Retry-After"]) >= 1
    world.agent.failing.discard("broken")
    r = until("a later request to start it anew",
              lambda: (lambda r: r if r.status == 200 else None)(world.get("/broken/a")), 30, 1)
    assert r.json()["generation"] > 1


def test_max_instances(world):
    world.app("few", maxInstances=1)
    assert world.get("/few/a").status == 200
    r = world.get("/few/b")
    assert r.status == 503 and r.json()["reason"] == "MaxInstancesReached" and r.headers["Retry-After"], r
    assert world.get("/few/a").status == 200


def test_never_ready(world):
    world.agent.mute.add("mute")
    world.app("mute")
    r = world.get("/mute/a")
    assert r.status == 503 and r.json()["reason"] == "WakeTimeout" and r.headers["Retry-After"], r
    assert "Starting" in r.json()["message"]


def test_client_that_goes_away_frees_its_place(world):
    world.agent.mute.add("gone")
    world.app("gone")
    s = socket.create_connection(("127.0.0.1", world.port))
    s.sendall(b"GET /gone/a HTTP/1.1\r\nHost: x\r\n\r\n")
    until("it to wait", lambda: list(world.metric("berth_gateway_waiting_requests")) == [1], 10, 0.05)
    s.close()
    until("its place to be free", lambda: list(world.metric("berth_gateway_waiting_requests")) == [0], 10, 0.05)


def test_vm_that_is_gone_without_a_word(world):
    """The map still has the address; the request waits for the new VM instead of failing."""
    world.app("lost")
    assert world.get("/lost/a").json()["generation"] == 1
    world.agent.apps["lost.a"].kill()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(world.get, f"/lost/a?n={n}", method="POST", body=b"x" * 100_000) for n in range(20)]
        until("one to have noticed", lambda: sum(world.metric('berth_gateway_lookups_total{verb="retry"}')) > 0, 10, 0.05)
        # What an agent says when it starts a VM anew.
        world.agent.status("lost.a", phase="Starting", address=None)
        assert [a.result() for a in answers if a.result().status != 200] == []


def test_closed_port(world):
    world.container("closed", ports=[{"containerPort": 1}])
    world.route("closed", "/closed", "closed")
    r = world.get("/closed/a")
    assert r.status == 503 and r.json()["reason"] == "Unreachable" and r.headers["Retry-After"], r


# ---- routes ----


def test_route_verdicts(world):
    world.container("target")
    world.route("older", "/claim", "target")
    assert world.accepted("older")["status"] == "True"
    world.route("younger", "/claim/", "target")
    verdict = world.accepted("younger")
    assert verdict["status"] == "False" and verdict["reason"] == "Conflict" and "default/older" in verdict["message"]
    world.container("portless", ports=[])
    world.route("portless", "/portless", "portless")
    assert world.accepted("portless")["reason"] == "NoPort"
    world.route("orphan", "/orphan", "nothing")
    assert world.accepted("orphan")["reason"] == "ContainerNotFound"
    r = until("the orphan", lambda: (lambda r: r if r.status == 503 else None)(world.get("/orphan/a")), 10)
    assert r.json()["reason"] == "ContainerNotFound" and r.headers["Retry-After"]
    world.container("nothing")
    until("its Container", lambda: world.accepted("orphan")["status"] == "True", 10)
    until("an answer", lambda: world.get("/orphan/a").status == 200, 20)


def test_hosts_headers_fixed_ids_and_prefixes(world):
    world.container("site")
    world.container("api")
    exact = {"matches": [{"path": {"type": "Exact", "value": "/exact"}}]}
    world.route("by-header", "/", "site", hostnames=["shop.example.com"], instance={"header": "X-User"})
    world.route("by-suffix", "/", "api", hostnames=["*.example.com"], instance={"fixed": "one and only"})
    world.route("exact", "/exact", "api", rule=exact, instance={"fixed": "exact"})
    world.route("strip", "/strip/deep", "api", rule={"filters": {"stripPrefix": True}})

    def ask(path, host="other.test", **headers):
        return world.get(path, headers={"Host": host, **headers})

    def seen(r):
        return (r.json()["instance"], r.json()["path"]) if r.status == 200 else r

    until("the last one", lambda: ask("/strip/deep/i1").status == 200, 20)
    assert seen(ask("/strip/deep/i1/a//b?q=1")) == ("api.i1", "/a//b?q=1")
    assert seen(ask("/strip/deep/i1")) == ("api.i1", "/")
    assert seen(ask("/x", "SHOP.example.com:8080", **{"X-User": "u7"})) == ("site.u7", "/x")
    assert ask("/x", "shop.example.com").status == 400
    assert seen(ask("/x", "a.b.example.com"))[0].startswith("api.one-and-only")
    assert ask("/x", "example.com").status == 404
    assert seen(ask("/exact")) == ("api.exact", "/exact")
    assert ask("/exact/more").status == 404
    assert ask("/strip/deeper/i1").status == 404
    for name in ("by-header", "by-suffix", "exact", "strip"):
        world.api(f"{BASE}/routes/{name}", "DELETE")
    until("them to be gone", lambda: ask("/exact").status == 404 and ask("/x", "a.b.example.com").status == 404, 20)


def test_route_changes_lose_no_request(world):
    world.app("steady")
    assert world.get("/steady/a").status == 200
    reloads = sum(world.metric("berth_gateway_haproxy_reloads_total"))
    with Load(world, ["/steady/a", "/steady/b"]) as load:
        for n in range(10):  # the same shape: maps only
            world.create(f"{BASE}/routes", "Route", f"churn-{n}", {"rules": [{
                "matches": [{"path": {"value": f"/churn/{n}"}}],
                "backend": {"container": "steady", "instance": {"pathSegment": 2}}}]})
            until("it", lambda: world.accepted(f"churn-{n}"), 10, 0.05)
        for n in range(3, 6):  # a new place for IDs: HAProxy is reloaded
            world.route(f"deep-{n}", "/deep" * n, "steady", instance={"header": f"X-Id-{n}"})
            until("its reload", lambda: world.get("/deep" * n, headers={f"X-Id-{n}": "a"}).status == 200, 20, 0.05)
    assert load.bad == [] and load.count > 50
    until("all reloads to be over", lambda: sum(world.metric("berth_gateway_haproxy_reloads_total")) >= reloads + 3, 20)


def test_websocket_of_an_old_worker_holds_sleep_off(world):
    world.app("elder", sleepAfter="1s")
    s = websocket(world, "/elder/a")
    world.route("shape", "/shape", "elder", instance={"header": "X-Shape"})
    until("the reload", lambda: world.get("/shape", headers={"X-Shape": "b"}).status == 200, 20, 0.05)
    until("the other to sleep", lambda: world.phase("elder.b") == "Asleep", 20)
    assert world.phase("elder.a") == "Ready"
    s.sendall(b"ping")
    assert s.recv(4) == b"ping"
    s.close()
    until("it to sleep", lambda: world.phase("elder.a") == "Asleep", 20)


# ---- what dies ----


def test_gateway_killed(world):
    world.app("firm")
    assert world.get("/firm/a").status == 200
    until("its map entry", lambda: world.get("/firm/a").status == 200, 5)
    pid = world.haproxy_pid()
    with Load(world, ["/firm/a"]) as load:
        world.kill_gateway()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            cold = pool.submit(world.get, "/firm/cold")
            until("warm requests without berth-gateway", lambda: load.count > 100, 30, 0.05)
            world.start_gateway()
            assert cold.result().status == 200, "a cold request waits for the next berth-gateway"
    assert load.bad == []
    assert world.haproxy_pid() == pid, "HAProxy was adopted"


def test_haproxy_killed(world):
    world.app("phoenix")
    assert world.get("/phoenix/a").status == 200
    pid = world.haproxy_pid()
    os.kill(pid, signal.SIGKILL)
    until("another HAProxy", lambda: world.haproxy_pid() != pid, 20, 0.05)
    until("answers", lambda: world.get("/phoenix/a").status == 200, 20, 0.05)
    asked = sum(world.metric("berth_gateway_lookups_total"))
    assert world.get("/phoenix/a").status == 200
    assert sum(world.metric("berth_gateway_lookups_total")) == asked, "the map was there from the start"


def test_apiserver_killed(world):
    world.app("calm")
    assert world.get("/calm/a").status == 200
    world.apiserver.stop(signal.SIGKILL)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        cold = pool.submit(world.get, "/calm/cold")
        for _ in range(20):
            assert world.get("/calm/a").status == 200
        world.apiserver.start()
        assert cold.result().status == 200, "a cold request waits for the apiserver"


def test_sigterm_lets_requests_finish(world):
    world.app("last")
    world.agent.delay = 1
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert world.get("/last/a").status == 200
        slow, cold = pool.submit(world.get, "/last/a?slow=2"), pool.submit(world.get, "/last/cold")
        until("one to wait", lambda: sum(world.metric("berth_gateway_waiting_requests")) == 1, 10, 0.05)
        world.gateway.terminate()
        assert slow.result().status == 200 and cold.result().status == 200
    world.agent.delay = 0
    assert world.gateway.wait(30) == 0
    assert not alive(world.haproxy_pid())
    world.start_gateway()
    until("answers", lambda: world.get("/last/a").status == 200, 20, 0.05)


def test_second_gateway_is_refused(world):
    r = subprocess.run([BIN / "berth-gateway", "--kubeconfig", world.apiserver.state / "gateway.kubeconfig", "--location",
                        "here", "--listen", f"127.0.0.1:{free_port()}", "--state-dir", world.state],
                       capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and "another berth-gateway" in r.stderr


def test_reports_to_its_location(world):
    entry = until("the report", lambda: world.api(f"{CLUSTER}/locations/here").json().get("status", {}).get("gateways"), 40)
    assert entry[0]["name"] == "gw" and entry[0]["url"] == world.url and entry[0]["lastSeen"]
