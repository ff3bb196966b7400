#!/usr/bin/python3
"""bench.py - what `make bench` runs: every figure beside its base, taken in the same run on the same machine.

Sections: start (cold start beside a bare QEMU boot), warm (requests through the gateway beside HAProxy with a static server),
api (GET, durable create in SQLite and in etcd, and watch fan-out, beside etcd on the same disk), memory (of each process),
place (the scheduler's core alone, beside its targets; fails when a decision is not the one that scoring all nodes gives). Prints
a table; judges nothing else. The ratios, not the times, are what can be compared between machines.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
os.environ.setdefault("BUILD", "release")

from apiserver import Apiserver  # noqa: E402
from cluster import ROOT, Cluster, free_port, request, until  # noqa: E402
from etcd import Etcd  # noqa: E402
from gateway_world import World  # noqa: E402

TOOLS = ROOT / "build" / os.environ["BUILD"] / "bench"
rows = []


def report(section, what, value, base="", ratio=None):
    rows.append((section, what, value, base, "" if ratio is None else f"{ratio:.2f}"))
    print(f"{section:8} {what:46} {value:>22}   {base:38} {rows[-1][4]:>8}", flush=True)


def run(*args, **kw):
    return subprocess.run([str(a) for a in args], check=True, text=True, capture_output=True, **kw).stdout


def wrk(url, *, connections=64, seconds=8, script=None, headers=()):
    args = ["wrk", "-t", "1", "-c", connections, "-d", f"{seconds}s"]
    for h in headers:
        args += ["-H", h]
    if script:
        args += ["-s", script]
    out = run(*args, url)
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if errors:
        raise SystemExit(f"{errors[1]} answers of {url} were errors")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def start(args, **kw):
    """A server in a session of its own, as ours are: the kernel shares out the CPU by sessions (sched_autogroup)."""
    return subprocess.Popen(args, start_new_session=True, **kw)


def answers(url):
    try:
        return request(url).status == 200
    except OSError:
        return False


# ---- cold start ----


def bench_resume(c, bare):
    c.deploy("doze", instanceType="lite", sleepMode="Suspend", sleepAfter="1h")
    first = c.get("/doze/a").json()
    name = first["instance"]
    times, waterfalls = [], []
    for _ in range(9):
        c.api(f"/apis/berth.dev/v1/namespaces/default/instances/{name}", "PATCH", {"spec": {"state": "Asleep"}},
              "application/merge-patch+json")
        until("it to be suspended", lambda: (lambda s: s["phase"] == "Asleep" and s.get("suspended"))(
            c.instance(name)["status"]))
        begun = time.monotonic()
        answer = c.get("/doze/a")
        times.append((time.monotonic() - begun) * 1000)
        assert answer.status == 200 and answer.json()["bootId"] == first["bootId"]
        waterfalls.append(c.instance(name)["status"]["wake"])
    woken = statistics.median(times)
    report("start", "request to first byte, suspended, median of 9", f"{woken:.1f} ms", f"bare boot to init {bare:.0f} ms", woken / bare)
    for step in ("queuedMs", "scheduledMs", "resumeMs", "appMs", "totalMs"):
        report("start", f"  {step[:-2]}", f"{statistics.median(w.get(step, 0) for w in waterfalls):.0f} ms")
    c.berthctl("delete", "instance", name)


def bench_start(c):
    c.deploy("bench", instanceType="lite", maxInstances=50)
    bare = statistics.median(float(run(HERE / "bare_boot.sh", TOOLS.parent / "guest")) for _ in range(5))
    times, waterfalls = [], []
    for n in range(7):
        begun = time.monotonic()
        assert c.get(f"/bench/cold-{n}").status == 200
        times.append((time.monotonic() - begun) * 1000)
        waterfalls.append(c.instance(f"bench.cold-{n}")["status"]["wake"])
        c.berthctl("delete", "instance", f"bench.cold-{n}")
    cold = statistics.median(times)
    report("start", "request to first byte, cold, median of 7", f"{cold:.0f} ms", f"bare boot to init {bare:.0f} ms", cold / bare)
    for step in ("queuedMs", "scheduledMs", "diskMs", "createMs", "bootMs", "appMs", "totalMs"):
        report("start", f"  {step[:-2]}", f"{statistics.median(w.get(step, 0) for w in waterfalls):.0f} ms")
    bench_resume(c, bare)
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = [a.status for a in pool.map(lambda n: c.get(f"/bench/many-{n}"), range(20))]
    report("start", "20 cold IDs at once: answered", f"{answers.count(200)} of 20", f"within {time.monotonic() - begun:.1f} s")
    memory(c, 20)
    for n in range(20):
        c.berthctl("delete", "instance", f"bench.many-{n}", "--wait=false")


# ---- warm requests ----

ORIGIN_CFG = """
global
    maxconn 4000
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    timeout http-keep-alive 75s
frontend origin
    bind {origin}
    http-request return status 200 content-type application/json string "{{}}"
"""


def static_cfg(cfg, port, server):
    """The gateway's haproxy.cfg with the server written down: the same rules but those that find and count the instance."""
    finding = ("lua", "setenv", "stats socket", "track-sc0", "txn.addr", "set-dst")
    rules = [line for line in cfg[:cfg.index("\nbackend vm")].splitlines() if not any(f in line for f in finding)]
    text = re.sub(r"^    bind .*$", f"    bind 127.0.0.1:{port}", "\n".join(rules), flags=re.M)
    return f"{text}\n\nbackend vm\n    server vm {server}\n"


class haproxy:
    """HAProxy with a configuration of our own."""

    def __init__(self, folder, name, text):
        self.file = folder / f"{name}.cfg"
        self.file.write_text(text)

    def __enter__(self):
        self.process = start(["haproxy", "-q", "-db", "-f", self.file])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class ElsewhereServed:
    """Stands for an app in fake_agent.py whose address somebody else serves."""

    def __init__(self, *_):
        pass

    def kill(self):
        pass


def bench_warm(scratch):
    """The data plane alone: the origin is a process of this host, because an emulated VM would be all that is measured."""
    folder = scratch / "warm"
    folder.mkdir(mode=0o755)
    w = World(folder, app=ElsewhereServed)
    w.start()
    port = free_port()
    try:
        w.app("app")
        origin = f"127.9.0.1:{w.app_port}"  # the fake agent's first instance
        static = static_cfg((w.state / "haproxy.cfg").read_text(), port, origin)
        with haproxy(folder, "origin", ORIGIN_CFG.format(origin=origin)), haproxy(folder, "static", static):
            until("the gateway", lambda: answers(f"{w.url}/app/warm"))
            until("the static HAProxy", lambda: answers(f"http://127.0.0.1:{port}/app/warm"))
            # Alternating, so that drift of the machine falls on both alike.
            ours, theirs = [], []
            for _ in range(5):
                ours.append(wrk(f"{w.url}/app/warm", seconds=4))
                theirs.append(wrk(f"http://127.0.0.1:{port}/app/warm", seconds=4))
    finally:
        w.close()
    a, b = statistics.median(ours), statistics.median(theirs)
    report("warm", "requests/s through the gateway, 64 clients", f"{a:.0f}/s", f"same rules, static server {b:.0f}/s", a / b)


# ---- the API ----

POST_LUA = """
local n = 0
local id = math.random(1000000000)
request = function()
  n = n + 1
  local name = string.format("b%d-%d", id, n)
  return wrk.format("POST", "{path}", {{["Authorization"]="Bearer {token}", ["Content-Type"]="application/json"}},
    string.format('{{"metadata":{{"name":"%s"}},"data":{{"k":"{value}"}}}}', name))
end
"""
PUT_LUA = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/v3/kv/put", {{["Content-Type"]="application/json"}},
    string.format('{{"key":"%s","value":"{value}"}}', "{prefix}" .. string.format("%08d", n)))
end
"""


def bench_etcd_store(scratch, etcd, path, value):
    server = Apiserver(scratch / "on-etcd", ("--store", "etcd", "--etcd-endpoints", etcd.url))
    server.start()
    script = scratch / "post-etcd.lua"
    script.write_text(POST_LUA.format(path=path, token=server.token(), value=value))
    created = wrk(server.url, script=script)
    server.stop()
    return created


def bench_api(c, scratch):
    path = "/api/v1/namespaces/default/configmaps"
    disk = float(run(TOOLS / "sync_rate", c.state))
    value = "x" * 900
    auth = [f"Authorization: Bearer {c.token()}"]
    ca = c.state / "apiserver/pki/ca.crt"
    with Etcd(scratch / "etcd") as etcd:
        etcd_url = etcd.url
        script = scratch / "post.lua"
        script.write_text(POST_LUA.format(path=path, token=c.token(), value=value))
        created = wrk(c.api_url, script=script)
        script.write_text(PUT_LUA.format(value=value, prefix="YmVuY2gt"))
        put = wrk(etcd_url, script=script)
        report("api", "durable creates of 1 KiB, 64 clients, TLS", f"{created:.0f}/s", f"fdatasync {disk:.0f}/s", created / disk)
        report("api", "", "", f"etcd JSON put {put:.0f}/s", created / put)
        stored = bench_etcd_store(scratch, etcd, path, value)
        report("api", "the same, stored in etcd", f"{stored:.0f}/s", f"etcd JSON put {put:.0f}/s", stored / put)

        c.api(path, "POST", {"metadata": {"name": "one"}, "data": {"k": value}})
        got = wrk(f"{c.api_url}{path}/one", headers=auth)
        script.write_text('request = function() return wrk.format("POST", "/v3/kv/range", {["Content-Type"]="application/json"}, '
                          "'{\"key\":\"YmVuY2gtMDAwMDAwMDE=\"}') end")
        ranged = wrk(etcd_url, script=script)
        report("api", "GET of 1 KiB, 64 clients, TLS", f"{got:.0f}/s", f"etcd JSON range {ranged:.0f}/s", got / ranged)

        ours = run(TOOLS / "fanout", "--ca", ca, "--token", c.token(),
                   "--url", f"{c.api_url}{path}?watch=true&fieldSelector=metadata.name%3Done",
                   "--trigger-method", "PATCH", "--trigger-url", f"{c.api_url}{path}/one",
                   "--trigger-content-type", "application/merge-patch+json", "--trigger-body", '{"data":{"round":"%"}}').split()
        theirs = run(TOOLS / "fanout", "--url", f"{etcd_url}/v3/watch", "--body", '{"create_request":{"key":"d2F0Y2g="}}',
                     "--trigger-url", f"{etcd_url}/v3/kv/put", "--trigger-body", '{"key":"d2F0Y2g=","value":"%"}').split()
        report("api", "one event to 1,000 watchers, median, TLS", f"{ours[0]} ms (max {ours[1]})",
               f"etcd JSON watch {theirs[0]} ms (max {theirs[1]})", float(ours[0]) / float(theirs[0]))


# ---- memory ----


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def memory(c, vms):
    for name in ("apiserver", "scheduler", "agent", "gateway"):
        report("memory", f"{name}, {vms} VMs running", f"{resident_mib(c.pid(name)):.1f} MiB")


def bench_memory_10k(scratch):
    """A fresh apiserver holding 10,000 objects of 1 KiB."""
    c = Cluster(scratch / "memory")
    try:
        c.up("--no-example")
        path = "/api/v1/namespaces/default/configmaps"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: c.api(path, "POST", {"metadata": {"name": f"m{n}"}, "data": {"k": "x" * 900}}), range(10000)))
        report("memory", "apiserver, 10,000 objects of 1 KiB", f"{resident_mib(c.pid('apiserver')):.1f} MiB")
    finally:
        c.down()


# ---- placement ----

DECISIONS_WANTED, BYTES_WANTED = 500_000, 300


def bench_place():
    """In memory, one thread, no I/O; by processor time."""
    out = json.loads(run(TOOLS / "place"))
    where = f"{out['nodes']:,} nodes, {out['locations']} Locations, {out['instances']:,} instances"
    target = f"target {DECISIONS_WANTED:,}/s"
    report("place", "decisions/s, filling an empty cluster", f"{out['fillPerSecond']:.0f}/s", target,
           out["fillPerSecond"] / DECISIONS_WANTED)
    report("place", "decisions/s, waking in a full one", f"{out['anewPerSecond']:.0f}/s", target,
           out["anewPerSecond"] / DECISIONS_WANTED)
    huge = json.loads(run(TOOLS / "place", env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}))
    report("place", "  the same with huge pages on request", f"{huge['anewPerSecond']:.0f}/s", target,
           huge["anewPerSecond"] / DECISIONS_WANTED)
    report("place", "memory of an instance", f"{out['bytesPerInstance']:.0f} bytes", f"target {BYTES_WANTED} bytes",
           out["bytesPerInstance"] / BYTES_WANTED)
    report("place", "decisions that scoring all nodes confirmed", f"{out['checked']} of {out['checked']}", where)


def main():
    wanted = sys.argv[1:] or ["start", "warm", "api", "memory", "place"]
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    scratch.chmod(0o755)  # HAProxy and QEMU run as users of their own
    print(f"{'section':8} {'what':46} {'Berth':>22}   {'base, in the same run':38} {'ratio':>8}")
    if "start" in wanted or "api" in wanted:
        c = Cluster(scratch / "state")
        try:
            c.up()
            if "start" in wanted:
                bench_start(c)
            if "api" in wanted:
                bench_api(c, scratch)
        finally:
            c.down()
    if "warm" in wanted:
        bench_warm(scratch)
    if "memory" in wanted:
        bench_memory_10k(scratch)
    if "place" in wanted:
        bench_place()
    shutil.rmtree(scratch)
    out = os.environ.get("BENCH_JSON")
    if out:
        pathlib.Path(out).write_text(json.dumps([dict(zip(("section", "what", "value", "base", "ratio"), r)) for r in rows]))


if __name__ == "__main__":
    main()
