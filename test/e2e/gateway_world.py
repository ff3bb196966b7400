"""The gateway with everything it needs but VMs: for its tests and for measuring it."""

import subprocess

from apiserver import BIN, Apiserver
from cluster import free_port, request, until
from fake_agent import BASE, App, FakeAgent

CLUSTER = "/apis/berth.dev/v1"


class World:
    """One apiserver, one gateway with its HAProxy in a folder of their own; FakeAgent plays the scheduler and one node."""

    def __init__(self, folder, app=App, flags=()):
        self.folder, self.flags = folder, flags
        self.port, self.metrics_port, self.app_port = (free_port() for _ in range(3))
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = folder / "gateway"
        self.gateway = None
        self.log = open(folder / "gateway.log", "ab")
        self.apiserver = Apiserver(folder)
        self.apiserver.start()
        self.api = self.apiserver.api
        self.agent = FakeAgent(self.api, self.app_port, app=app)

    # ---- processes ----

    def start(self):
        self.create(f"{CLUSTER}/locations", "Location", "here", {"latitude": 50, "longitude": 8})
        self.create("/api/v1/nodes", "Node", "fake-node", {}, labels={"topology.kubernetes.io/zone": "here"})
        self.agent.start()
        self.start_gateway()
        until("HAProxy", lambda: self.get("/nowhere").status == 404, 30, 0.05)

    def start_gateway(self):
        self.gateway = subprocess.Popen(
            [BIN / "berth-gateway", "--kubeconfig", self.apiserver.state / "gateway.kubeconfig", "--location", "here",
             "--name", "gw", "--listen", f"127.0.0.1:{self.port}", "--state-dir", self.state, "--wake-timeout", "20s",
             "--drain-timeout", "5s", "--metrics-listen", f"127.0.0.1:{self.metrics_port}", "--log-level", "debug",
             *self.flags],
            stdout=self.log, stderr=self.log)

    def kill_gateway(self):
        self.gateway.kill()
        self.gateway.wait()

    def haproxy_pid(self):
        return int((self.state / "haproxy.pid").read_text())

    def close(self):
        self.agent.close()
        subprocess.run([BIN / "berth-gateway", "stop", "--state-dir", self.state], check=True, timeout=60)
        self.gateway.wait()
        self.apiserver.stop()
        self.log.close()

    # ---- the API ----

    def create(self, path, kind, name, spec, **meta):
        r = self.api(path, "POST", {"apiVersion": "v1" if kind == "Node" else "berth.dev/v1", "kind": kind,
                                    "metadata": {"name": name, **meta}, "spec": spec})
        assert r.status in (200, 201), r
        return r.json()

    def container(self, name, **spec):
        self.create(f"{BASE}/containers", "Container", name, {
            "image": "registry.invalid/app:1", "ports": [{"containerPort": self.app_port}], **spec})
        digest = "sha256:" + "0" * 64
        self.create(f"{BASE}/revisions", "Revision", f"{name}-1", {
            "containerName": name, "number": 1, "imageDigest": digest, "image": f"registry.invalid/app@{digest}"})

    def route(self, name, path, container, hostnames=None, rule=None, **backend):
        backend = {"container": container, "instance": {"pathSegment": path.rstrip("/").count("/") + 1}, **backend}
        spec = {"rules": [{"matches": [{"path": {"value": path}}], "backend": backend, **(rule or {})}]}
        if hostnames:
            spec["hostnames"] = hostnames
        self.create(f"{BASE}/routes", "Route", name, spec)
        until(f"Route {name} to be judged", lambda: self.accepted(name), 20, 0.05)

    def app(self, name, **spec):
        """A Container and its Route /<name>/<id>, served."""
        self.container(name, **spec)
        self.route(name, f"/{name}", name)
        until(f"/{name}/ to be routed", lambda: self.get(f"/{name}/").status == 400, 20, 0.05)

    def accepted(self, route):
        conditions = self.api(f"{BASE}/routes/{route}").json().get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "Accepted"), None)

    def instance(self, name):
        r = self.api(f"{BASE}/instances/{name}")
        return r.json() if r.status == 200 else None

    def phase(self, name):
        return ((self.instance(name) or {}).get("status") or {}).get("phase")

    # ---- requests ----

    def get(self, path, **kw):
        try:
            return request(self.url + path, timeout=kw.pop("timeout", 60), **kw)
        except OSError as e:
            return Broken(e)

    def metric(self, name):
        for line in request(f"http://127.0.0.1:{self.metrics_port}/metrics").body.decode().splitlines():
            if line.startswith(name + " ") or line.startswith(name + "{"):
                yield float(line.rsplit(" ", 1)[1])


class Broken:
    """A request without an answer."""

    status = 0

    def __init__(self, error):
        self.error = error

    def __repr__(self):
        return f"<broken: {self.error!r}>"
