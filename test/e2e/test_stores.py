"""The apiserver on etcd: nothing acknowledged is lost to kill -9, several apiservers see one world, moving between stores."""

import itertools
import json
import ssl
import subprocess
import threading
import time
import urllib.request

import pytest

from apiserver import BIN, Apiserver
from cluster import until
from etcd import Etcd, EtcdCluster

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def on_etcd(etcd):
    return "--store", "etcd", "--etcd-endpoints", etcd.url


@pytest.fixture
def etcd(tmp_path):
    with Etcd(tmp_path / "etcd") as e:
        yield e


@pytest.fixture
def server(tmp_path, etcd):
    s = Apiserver(tmp_path / "a", on_etcd(etcd))
    s.start()
    yield s
    if s.process.poll() is None:
        s.stop()


@pytest.fixture
def second(tmp_path, etcd, server):
    s = Apiserver(tmp_path / "b", on_etcd(etcd), server.state)
    s.start()
    yield s
    if s.process.poll() is None:
        s.stop()


class Load(threading.Thread):
    """Creates ConfigMaps and changes each once, for as long as it may; notes what was acknowledged."""

    def __init__(self, server, name):
        super().__init__()
        self.server, self.name_prefix = server, name
        self.acknowledged = {}  # name → (resourceVersion, value)
        self.failed = 0
        self.ending = threading.Event()

    def run(self):
        for n in itertools.count():
            if self.ending.is_set():
                return
            name = f"{self.name_prefix}-{n}"
            if self._write("POST", CONFIGMAPS, name, "1"):
                self._write("PATCH", f"{CONFIGMAPS}/{name}", name, "2")

    def _write(self, method, path, name, value):
        body = {"metadata": {"name": name}, "data": {"v": value}}
        try:
            answer = self.server.api(path, method, body, timeout=30, content_type="application/json" if method == "POST"
                                     else "application/merge-patch+json")
        except (OSError, ssl.SSLError):
            answer = None
        if answer and answer.status in (200, 201):
            self.acknowledged[name] = (int(json.loads(answer.body)["metadata"]["resourceVersion"]), value)
            return True
        assert not answer or answer.status >= 500, answer.body
        self.failed += 1
        time.sleep(0.05)
        return False


def wait_for_writes(loads, count):
    def acknowledged():
        return sum(len(load.acknowledged) for load in loads)

    enough = acknowledged() + count
    until("more writes to be acknowledged", lambda: acknowledged() >= enough, 60, 0.02)


def present(server):
    items = json.loads(server.api(CONFIGMAPS).body)["items"]
    return {i["metadata"]["name"]: (int(i["metadata"]["resourceVersion"]), i["data"]["v"]) for i in items}


def assert_all_there(server, loads):
    there = present(server)
    for load in loads:
        for name, (revision, value) in load.acknowledged.items():
            assert name in there, f"{name} was acknowledged and is gone"
            # A change whose answer got lost may have been stored; nothing may be older than what was acknowledged.
            assert there[name] == (revision, value) or there[name][0] > revision and there[name][1] == "2", name
    revisions = [r for r, _ in there.values()]
    assert len(revisions) == len(set(revisions)), "two objects have one resourceVersion"


def test_nothing_acknowledged_is_lost(server, etcd):
    loads = [Load(server, f"w{i}") for i in range(4)]
    for load in loads:
        load.start()
    try:
        for _ in range(3):
            wait_for_writes(loads, 40)
            server.stop(9)
            server.start()
            wait_for_writes(loads, 40)
            etcd.kill()
            time.sleep(0.3)  # so that writers meet it away
            etcd.start()
    finally:
        for load in loads:
            load.ending.set()
        for load in loads:
            load.join(60)
    assert sum(load.failed for load in loads) > 0, "the kills were not noticed"
    assert_all_there(server, loads)
    server.stop()
    server.start()
    assert_all_there(server, loads)


def test_members_of_a_cluster_may_fail(tmp_path):
    """Each in turn: killed, or stopped so that its connections stay open and nothing comes."""
    with EtcdCluster(tmp_path / "etcd") as cluster:
        servers = [Apiserver(tmp_path / "a", on_etcd(cluster))]
        servers[0].start()
        servers.append(Apiserver(tmp_path / "b", on_etcd(cluster), servers[0].state))
        servers[1].start()
        loads = [Load(s, f"{k}{i}") for k, s in zip("ab", servers) for i in range(2)]
        for load in loads:
            load.start()
        try:
            for n, member in enumerate(cluster.members):
                time.sleep(0.5)
                member.pause() if n % 2 else member.kill()
                before = [len(load.acknowledged) for load in loads]
                until("writes to go on", lambda: all(len(load.acknowledged) > b + 3 for load, b in zip(loads, before)), 60)
                member.resume() if n % 2 else member.begin()
                member.wait()
        finally:
            for load in loads:
                load.ending.set()
            for load in loads:
                load.join(60)
        until("both to show the same", lambda: present(servers[0]) == present(servers[1]), 30)
        for s in servers:
            assert_all_there(s, loads)
            s.stop()


def test_an_etcd_that_does_not_answer(server, etcd):
    assert server.api(CONFIGMAPS, "POST", {"metadata": {"name": "before"}, "data": {"v": "1"}}).status == 201
    etcd.kill()
    answer = server.api(CONFIGMAPS, "POST", {"metadata": {"name": "away"}, "data": {"v": "1"}})
    assert answer.status == 503 and b"nothing was written" in answer.body
    assert server.api(f"{CONFIGMAPS}/before").status == 200  # reads come from memory
    # Whether there is such an object is for the store to say: another apiserver may have made it.
    assert server.api(f"{CONFIGMAPS}/missing", "DELETE").status == 503
    etcd.start()
    assert server.api(CONFIGMAPS, "POST", {"metadata": {"name": "away"}, "data": {"v": "1"}}).status == 201
    # Stopped, etcd takes the request in and answers nobody: the outcome is not known, and it is said so.
    etcd.pause()
    answer = server.api(CONFIGMAPS, "POST", {"metadata": {"name": "unknown"}, "data": {"v": "1"}})
    etcd.resume()
    assert answer.status == 504 and b"may yet carry the write out" in answer.body
    again = until("etcd to go on", lambda: (a := server.api(CONFIGMAPS, "POST", {
        "metadata": {"name": "unknown"}, "data": {"v": "2"}})).status != 503 and a, 30)
    assert again.status in (201, 409)
    expected = "2" if again.status == 201 else "1"
    assert json.loads(server.api(f"{CONFIGMAPS}/unknown").body)["data"]["v"] == expected
    server.stop()
    server.start()
    assert json.loads(server.api(f"{CONFIGMAPS}/unknown").body)["data"]["v"] == expected


class Watch(threading.Thread):
    """Collects a watch's events until `count` have come: (type, name, resourceVersion)."""

    def __init__(self, server, count):
        super().__init__()
        self.events, self.count, self.server = [], count, server
        revision = json.loads(server.api(CONFIGMAPS).body)["metadata"]["resourceVersion"]
        request = urllib.request.Request(f"{server.url}{CONFIGMAPS}?watch=true&resourceVersion={revision}",
                                         headers={"Authorization": f"Bearer {server.token()}"})
        context = ssl.create_default_context(cafile=server.state / "pki" / "ca.crt")
        self.stream = urllib.request.urlopen(request, timeout=20, context=context)

    def run(self):
        try:
            while len(self.events) < self.count:
                event = json.loads(self.stream.readline())
                meta = event["object"]["metadata"]
                self.events.append((event["type"], meta["name"], int(meta["resourceVersion"])))
        except (OSError, ValueError):
            pass  # the count tells


def test_two_apiservers_are_one(server, second):
    each, writers = 60, 4
    watches = [Watch(s, each * writers * 2 * 2) for s in (server, second)]
    for w in watches:
        w.start()

    def load(s, prefix):
        for n in range(each):
            body = {"metadata": {"name": f"{prefix}-{n}"}, "data": {"v": "1"}}
            assert s.api(CONFIGMAPS, "POST", body).status == 201
            assert s.api(f"{CONFIGMAPS}/{prefix}-{n}", "DELETE").status == 200

    threads = [threading.Thread(target=load, args=(s, f"{k}{i}"))
               for k, s in (("a", server), ("b", second)) for i in range(writers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    for w in watches:
        w.join(60)
        assert len(w.events) == w.count, f"{len(w.events)} events of {w.count}"
        revisions = [e[2] for e in w.events]
        assert revisions == sorted(set(revisions)), "not in order, or one twice"
    assert watches[0].events == watches[1].events
    names = {f"{k}{i}-{n}" for k in "ab" for i in range(writers) for n in range(each)}
    for kind in ("ADDED", "DELETED"):
        assert {e[1] for e in watches[0].events if e[0] == kind} == names


def test_what_one_apiserver_wrote_the_other_knows_at_once(server, second):
    for n in range(40):
        here, there = (server, second) if n % 2 else (second, server)
        assert here.api("/api/v1/namespaces", "POST", {"metadata": {"name": f"n{n}"}}).status == 201
        path = f"/api/v1/namespaces/n{n}/configmaps"
        made = there.api(path, "POST", {"metadata": {"name": "x"}, "data": {"v": "1"}})
        assert made.status == 201, made.body
        obj = json.loads(made.body)
        obj["data"]["v"] = "2"
        changed = here.api(f"{path}/x", "PUT", obj)  # with the other's resourceVersion
        assert changed.status == 200, changed.body
        assert there.api(f"{path}/x", "PUT", obj).status == 409
        assert there.api(f"{path}/x", "DELETE").status == 200
        assert here.api(path, "POST", {"metadata": {"name": "x"}}).status == 201


def test_counting_on_both_loses_nothing(server, second):
    server.api(CONFIGMAPS, "POST", {"metadata": {"name": "counter"}, "data": {"v": "0"}})
    rounds = 30

    def count(s):
        done = 0
        while done < rounds:
            obj = json.loads(s.api(f"{CONFIGMAPS}/counter").body)
            obj["data"] = {"v": str(int(obj["data"]["v"]) + 1)}
            status = s.api(f"{CONFIGMAPS}/counter", "PUT", obj).status
            assert status in (200, 409)
            done += status == 200

    until("the second apiserver to know it", lambda: second.api(f"{CONFIGMAPS}/counter").status == 200)
    threads = [threading.Thread(target=count, args=(s,)) for s in (server, second)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    until("both to show the sum", lambda: present(server)["counter"] == present(second)["counter"], 30)
    assert present(server)["counter"][1] == str(2 * rounds)


def openssl(*args, folder):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def pki(tmp_path):
    """A CA, and a certificate of 127.0.0.1 for etcd and one for the apiserver."""
    folder = tmp_path / "pki"
    folder.mkdir()
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test-ca",
            "-keyout", "ca.key", "-out", "ca.crt", folder=folder)
    for name in ("etcd", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr", folder=folder)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "san", "-out", f"{name}.crt", folder=folder)
    return folder


def test_etcd_with_tls(tmp_path, pki):
    with Etcd(tmp_path / "etcd", pki) as etcd:
        trusted = on_etcd(etcd) + ("--etcd-cacert", pki / "ca.crt")
        without = Apiserver(tmp_path / "without", trusted)
        with pytest.raises(AssertionError, match="request to 127.0.0.1"):  # no client certificate
            without.start()
        without.log.close()
        server = Apiserver(tmp_path / "a", trusted + ("--etcd-cert", pki / "client.crt", "--etcd-key", pki / "client.key"))
        server.start()
        second = Apiserver(tmp_path / "b", server.args, server.state)
        second.start()
        assert server.api(CONFIGMAPS, "POST", {"metadata": {"name": "x"}, "data": {"v": "1"}}).status == 201
        until("the watch to bring it", lambda: second.api(f"{CONFIGMAPS}/x").status == 200)
        second.stop()
        server.stop()


def migrate(*args, code=0):
    r = subprocess.run([BIN / "berth-apiserver", "migrate", *map(str, args)], capture_output=True, text=True, timeout=60)
    assert r.returncode == code, r.stdout + r.stderr
    return r.stdout + r.stderr


def test_migration(tmp_path, etcd):
    server = Apiserver(tmp_path / "a")
    server.start()
    for n in range(100):
        assert server.api(CONFIGMAPS, "POST", {"metadata": {"name": f"m{n}"}, "data": {"v": str(n)}}).status == 201
    before = json.loads(server.api(CONFIGMAPS).body)
    store = f"sqlite:{server.state / 'store.db'}"
    assert "stop that one first" in migrate("--from", store, "--to", f"etcd:{etcd.url}", code=1)
    server.stop()
    assert "objects copied" in migrate("--from", store, "--to", f"etcd:{etcd.url}")
    assert "give an empty store" in migrate("--from", store, "--to", f"etcd:{etcd.url}", code=1)

    server.args = on_etcd(etcd)
    server.start()
    after = json.loads(server.api(CONFIGMAPS).body)
    newest = int(before["metadata"]["resourceVersion"])
    assert len(after["items"]) == 100
    for old, new in zip(before["items"], after["items"]):
        assert int(new["metadata"].pop("resourceVersion")) > newest
        old["metadata"].pop("resourceVersion")
        assert old == new
    old_watch = server.api(f"{CONFIGMAPS}?watch=true&resourceVersion={newest - 1}&timeoutSeconds=1")
    assert old_watch.status == 410 or b'"code":410' in old_watch.body
    server.stop()

    migrate("--from", f"etcd:{etcd.url}", "--to", f"sqlite:{tmp_path / 'back.db'}")
    server.args = ()
    (tmp_path / "back.db").rename(server.state / "store.db")
    server.start()
    back = json.loads(server.api(CONFIGMAPS).body)
    assert [i["data"] for i in back["items"]] == [i["data"] for i in after["items"]]
    assert int(back["metadata"]["resourceVersion"]) > int(after["metadata"]["resourceVersion"])
    server.stop()
