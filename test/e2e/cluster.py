"""A whole Berth on this machine for the end-to-end tests: started by hack/up, taken away by hack/down.

Everything is asked of it the way a user would: HTTP through the gateway, objects through the API. Conditions are polled
with a deadline; no test sleeps for a fixed time or asserts how long something took.
"""

import json
import os
import pathlib
import random
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    """A port to listen on, outside the range that outgoing connections get theirs from: it stays free while its server is away."""
    while True:
        with socket.socket() as s:
            port = random.randrange(20000, 32000)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def until(what, condition, seconds=60, every=0.2):
    """Polls until condition() is truthy and returns that; fails naming what was waited for and the last value seen."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        last = condition()
        if last:
            return last
        time.sleep(every)
    raise AssertionError(f"timed out after {seconds} s waiting for {what}; last seen: {last!r}")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def request(url, method="GET", body=None, headers=None, timeout=180, context=None):
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    r = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(r, timeout=timeout, context=context) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as e:
        return Answer(e.code, e.headers, e.read())


class Cluster:
    """One control plane, one Location, one node, one gateway. The build is chosen by BUILD (debug by default in tests)."""

    def __init__(self, state):
        self.state = pathlib.Path(state)
        self.build = os.environ.get("BUILD", "debug")
        self.bin = ROOT / "build" / self.build / "bin"
        self.ports = {name: free_port() for name in ("PORT", "API_PORT", "REGISTRY_PORT", "NODE_PORT")}
        self.env = dict(
            os.environ,
            BUILD=self.build,
            BERTH_STATE=str(self.state),
            BERTH_VM_CIDR="10.89.0.0/16",
            BERTH_NODE="test-node",
            **{f"BERTH_{name}": str(port) for name, port in self.ports.items()},
        )
        self.registry = f"127.0.0.1:{self.ports['REGISTRY_PORT']}"
        self.gateway = f"http://127.0.0.1:{self.ports['PORT']}"
        self.api_url = f"https://127.0.0.1:{self.ports['API_PORT']}"
        self.kubeconfig = self.state / "apiserver" / "admin.kubeconfig"

    def up(self, *options):
        subprocess.run([ROOT / "hack/up", *options], env=self.env, check=True, stdin=subprocess.DEVNULL, timeout=900)

    def down(self):
        subprocess.run([ROOT / "hack/down"], env=self.env, check=True, stdin=subprocess.DEVNULL, timeout=300)

    # ---- processes ----

    def pid(self, service):
        return int((self.state / "run" / f"{service}.pid").read_text().split()[0])

    def kill(self, service, sig=signal.SIGKILL):
        """Kills a service and waits until it is gone."""
        pid = self.pid(service)
        os.kill(pid, sig)
        until(f"{service} to be gone", lambda: not alive(pid), 30, 0.05)

    # ---- requests through the gateway ----

    def get(self, path, **kw):
        return request(self.gateway + path, **kw)

    # ---- the API ----

    def berthctl(self, *args, input=None, check=True, timeout=120):
        r = subprocess.run(
            [self.bin / "berthctl", "--kubeconfig", self.kubeconfig, *args],
            input=input, text=True, capture_output=True, timeout=timeout, env=self.env,
        )
        if check and r.returncode:
            raise AssertionError(f"berthctl {' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def kubectl(self, *args, input=None, check=True, timeout=120, kubectl="kubectl"):
        r = subprocess.run(
            [kubectl, "--kubeconfig", self.kubeconfig, *args],
            input=input, text=True, capture_output=True, timeout=timeout, env=self.env,
        )
        if check and r.returncode:
            raise AssertionError(f"kubectl {' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def token(self):
        for line in self.kubeconfig.read_text().splitlines():
            if line.strip().startswith("token:"):
                return line.split(":", 1)[1].strip().strip('"')
        raise AssertionError("the kubeconfig holds no token")

    def api(self, path, method="GET", body=None, content_type="application/json", timeout=60, token=None):
        context = ssl.create_default_context(cafile=self.state / "apiserver" / "pki" / "ca.crt")
        headers = {"Authorization": f"Bearer {token or self.token()}", "Content-Type": content_type}
        return request(self.api_url + path, method, body, headers, timeout, context)

    def object(self, kind, name):
        r = self.berthctl("get", kind, name, "-o", "json", check=False)
        return json.loads(r.stdout) if r.returncode == 0 else None

    def instance(self, name):
        return self.object("instance", name)

    def phase(self, name):
        return ((self.instance(name) or {}).get("status") or {}).get("phase")

    def apply(self, manifest):
        return self.berthctl("apply", "-f", "-", input=manifest if isinstance(manifest, str) else json.dumps(manifest))

    def deploy(self, name, image=None, **spec):
        """A Container and a Route /<name>/<id> to it; waits until its image is on the node."""
        self.apply({"apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": name},
                    "spec": {"image": image or f"{self.registry}/hello:v1", "ports": [{"containerPort": 8080}],
                             **spec}})
        self.apply({"apiVersion": "berth.dev/v1", "kind": "Route", "metadata": {"name": name},
                    "spec": {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}],
                                        "backend": {"container": name, "instance": {"pathSegment": 2}}}]}})
        for what in (f"container/{name}", "--for=condition=Prefetched"), (f"route/{name}", "--for=condition=Accepted"):
            self.berthctl("wait", *what, "--timeout=120s", timeout=150)

    def domains(self):
        """Names of all running libvirt domains of Berth."""
        out = subprocess.run(["virsh", "-q", "-c", "qemu:///system", "list", "--name"], text=True, capture_output=True,
                             check=True).stdout
        return [name for name in out.split() if name.startswith("berth-")]


def vm_processes():
    """Pids of all QEMU processes of Berth, whoever watches over them."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"\0guest=berth-" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has just ended
            pass
    return found


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False
