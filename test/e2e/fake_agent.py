"""A scheduler and an agent in one thread, for tests of the gateway without VMs.

Binds every Instance that wants to run (up to maxInstances), then serves HTTP at an address of its own in 127.0.0.0/8 and
says Ready; takes the server away when the Instance is to sleep. What goes wrong is set from outside: containers in
`failing` fail, those in `mute` never become ready, `delay` is how long a start takes.

The app: any path answers with JSON about itself; /…?slow=<seconds> answers late; a WebSocket upgrade is accepted and held.
"""

import base64
import collections
import hashlib
import http.server
import json
import threading
import time
import urllib.parse

NAMESPACE = "default"
BASE = f"/apis/berth.dev/v1/namespaces/{NAMESPACE}"
MERGE = "application/merge-patch+json"


class App(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, address, name, generation):
        self.name, self.generation = name, generation
        self.requests = collections.Counter()
        self.connections = set()
        super().__init__(address, Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # connections break when a VM is killed

    def kill(self):
        """As a VM that is destroyed: nothing is open any more."""
        self.shutdown()
        self.server_close()
        for c in list(self.connections):
            try:
                c.shutdown(2)
            except OSError:
                pass
            c.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.setsockopt(6, 1, 1)

    def log_message(self, *args):
        pass

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        digest = hashlib.sha256()
        while length > 0:
            piece = self.rfile.read(min(length, 65536))
            if not piece:
                return
            digest.update(piece)
            length -= len(piece)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if "slow" in query:
            time.sleep(float(query["slow"][0]))
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
            return
        self.server.requests[self.path] += 1
        body = json.dumps({
            "instance": self.server.name, "generation": self.server.generation, "path": self.path,
            "headers": {k.lower(): v for k, v in self.headers.items()}, "sha256": digest.hexdigest(),
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while True:
            data = self.connection.recv(4096)
            if not data:
                return
            self.connection.sendall(data)


class FakeAgent(threading.Thread):
    """api(path, method, body, content_type) → object with .status and .json()."""

    def __init__(self, api, port, node="fake-node", location="here", app=App):
        super().__init__(daemon=True)
        self.app = app
        self.api, self.port, self.node, self.location = api, port, node, location
        self.apps = {}  # instance name → App
        self.addresses = {}
        self.seen_addresses = {}
        self.failing, self.mute, self.delay = set(), set(), 0.0
        self.starting = {}  # name → (generation, when ready)
        self.creations = 0
        self.stopping = threading.Event()
        self.errors = []

    # ---- the API ----

    def call(self, path, method="GET", body=None, content_type="application/json"):
        return self.api(path, method, body, content_type)

    def status(self, name, **fields):
        r = self.call(f"{BASE}/instances/{name}/status", "PATCH", {"status": fields}, MERGE)
        if r.status >= 300:
            self.errors.append(f"status of {name}: {r}")
        return r

    def ready(self, name, generation, ok, reason, message=""):
        return [{"type": "Ready", "status": "True" if ok else "False", "reason": reason, "message": message,
                 "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}]

    # ---- one look at the world ----

    def run(self):
        while not self.stopping.wait(0.03):
            try:
                self.step()
            except (OSError, ValueError, KeyError) as e:  # the apiserver is being restarted
                self.errors.append(repr(e))

    def step(self):
        containers = {c["metadata"]["name"]: c for c in self.call(f"{BASE}/containers").json()["items"]}
        instances = self.call(f"{BASE}/instances").json()["items"]
        active = collections.Counter(
            i["spec"]["containerName"] for i in instances
            if i.get("status", {}).get("phase") in ("Scheduled", "Starting", "Ready", "Running", "Stopping"))
        for i in instances:
            self.one(i, containers.get(i["spec"]["containerName"]), active)
        names = {i["metadata"]["name"] for i in instances}
        for name in list(self.apps):
            if name not in names:
                self.apps.pop(name).kill()

    def one(self, i, container, active):
        name, spec, status = i["metadata"]["name"], i["spec"], i.get("status", {})
        phase, generation = status.get("phase", ""), spec.get("vmGeneration", 0)
        wants = spec.get("state") == "Running" and "deletionTimestamp" not in i["metadata"]
        if "deletionTimestamp" in i["metadata"]:
            self.stop(name)
            self.call(f"{BASE}/instances/{name}", "PATCH", {"metadata": {"finalizers": None}}, MERGE)
        elif not wants and phase not in ("", "Asleep", "Stopped"):
            self.stop(name)
            self.status(name, phase="Stopped" if spec["state"] == "Stopped" else "Asleep", address=None,
                        vmGeneration=generation)
        elif wants and phase in ("", "Pending", "Asleep", "Stopped"):
            self.place(name, spec, status, container, active)
        elif wants and phase in ("Scheduled", "Starting"):
            self.start_app(name, spec, phase, generation, container)

    def place(self, name, spec, status, container, active):
        limit = container["spec"].get("maxInstances", 20) if container else 0
        if active[spec["containerName"]] >= limit:
            reasons = [c.get("reason") for c in status.get("conditions", [])]
            if reasons != ["MaxInstancesReached"]:
                self.status(name, phase="Pending", conditions=self.ready(
                    name, 0, False, "MaxInstancesReached", f"{limit} of maxInstances {limit} are running"))
            return
        r = self.call(f"{BASE}/instances/{name}/binding", "POST", {
            "apiVersion": "berth.dev/v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"kind": "Node", "name": self.node}, "revision": spec["containerName"] + "-1"})
        if r.status >= 300 and r.status != 409:
            self.errors.append(f"binding {name}: {r}")
        if r.status < 300:
            active[spec["containerName"]] += 1

    def start_app(self, name, spec, phase, generation, container):
        if spec["containerName"] in self.failing:
            self.status(name, phase="Failed", vmGeneration=generation,
                        conditions=self.ready(name, generation, False, "AppExited", "exit code 7"))
            return
        if name not in self.starting or self.starting[name][0] != generation:
            self.starting[name] = (generation, time.monotonic() + self.delay)
            if phase != "Starting":
                self.status(name, phase="Starting", vmGeneration=generation, nodeName=self.node)
        if time.monotonic() < self.starting[name][1] or spec["containerName"] in self.mute:
            return
        address = self.addresses.setdefault(name, f"127.9.{len(self.addresses) // 250}.{len(self.addresses) % 250 + 1}")
        self.stop(name)
        self.apps[name] = self.app((address, self.port), name, generation)
        self.seen_addresses[name] = address
        self.status(name, phase="Ready", address=address, vmGeneration=generation, nodeName=self.node,
                    conditions=self.ready(name, generation, True, "Ready"))

    def stop(self, name):
        self.starting.pop(name, None)
        app = self.apps.pop(name, None)
        if app:
            app.kill()

    def close(self):
        self.stopping.set()
        self.join(10)
        for name in list(self.apps):
            self.stop(name)


class FakeNode(FakeAgent):
    """One node under a real scheduler: fetches the images it is asked for, a quarter at a look, and runs what is bound to it.

    `failing` are Revisions here; `broken` maps digests (or "*") to why they cannot be fetched; `slow` stops fetching at 25 %.
    """

    def __init__(self, api, port, **kw):
        super().__init__(api, port, **kw)
        self.images, self.broken, self.slow = {}, {}, False
        self.revision = {}  # instance name → Revision it is to run

    def register(self):
        self.call("/apis/berth.dev/v1/locations", "POST", {
            "apiVersion": "berth.dev/v1", "kind": "Location", "metadata": {"name": self.location},
            "spec": {"latitude": 50, "longitude": 8}})
        self.call("/api/v1/nodes", "POST", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.node, "labels": {"topology.kubernetes.io/zone": self.location}}})
        self.call("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "POST", {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.node},
            "spec": {"holderIdentity": self.node, "leaseDurationSeconds": 3600,
                     "renewTime": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())}})
        self.report()

    def report(self):
        r = self.call(f"/api/v1/nodes/{self.node}/status", "PATCH", {"status": {
            "allocatable": {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1T"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": ""}],
            "prefetch": list(self.images.values())}}, MERGE)
        if r.status >= 300:
            self.errors.append(f"status of the node: {r}")

    def fetch(self):
        wanted = {i["spec"]["digest"] for i in self.call("/apis/berth.dev/v1/images").json()["items"]}
        before = dict(self.images)
        for digest in wanted:
            percent = self.images.get(digest, {}).get("percent", 0)
            why = self.broken.get(digest, self.broken.get("*"))
            if why and percent < 100:
                self.images[digest] = {"digest": digest, "phase": "Failed", "percent": percent, "message": why}
            elif percent < (25 if self.slow else 100):
                percent += 25
                self.images[digest] = {"digest": digest, "phase": "Ready" if percent == 100 else "Pulling",
                                       "percent": percent, "bytesTotal": 4000}
        self.images = {d: i for d, i in self.images.items() if d in wanted}
        if self.images != before:
            self.report()

    def step(self):
        self.fetch()
        super().step()

    def place(self, *args):
        pass  # the scheduler does

    def status(self, name, **fields):
        return super().status(name, revision=self.revision.get(name), **fields)

    def one(self, i, container, active):
        name, spec = i["metadata"]["name"], i["spec"]
        generation, status = spec.get("vmGeneration", 0), i.get("status", {})
        self.revision[name] = spec.get("revision")
        if (status.get("phase") == "Ready" and status.get("vmGeneration", 0) < generation and spec["state"] == "Running"):
            self.stop(name)  # a rollout step: another VM takes its place
            self.status(name, phase="Starting", vmGeneration=generation, nodeName=self.node)
            return
        super().one(i, container, active)

    def start_app(self, name, spec, phase, generation, container):
        if spec.get("revision") in self.failing:
            self.status(name, phase="Failed", vmGeneration=generation,
                        conditions=self.ready(name, generation, False, "AppExited", "exit code 7"))
            return
        super().start_app(name, spec, phase, generation, container)
