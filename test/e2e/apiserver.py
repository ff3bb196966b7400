"""An apiserver of its own, on a free port with a state folder of its own, and kubectl to talk to it with."""

import atexit
import functools
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import tempfile

from cluster import ROOT, free_port, request, until

BIN = pathlib.Path(os.environ.get("O", ROOT / "build")) / os.environ.get("BUILD", "debug") / "bin"


class Apiserver:
    def __init__(self, folder, args=(), state=None):
        """args: more flags of serve. state: another apiserver's state folder, to share its credentials and its etcd."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = state or self.folder / "state"
        self.args = args
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = self.state / "admin.kubeconfig"
        self.process = None

    def start(self):
        program = BIN / "berth-apiserver"
        if not self.state.exists():
            subprocess.run([program, "init", "--state-dir", self.state, "--address", "127.0.0.1", "--port", str(self.port)],
                           check=True, timeout=60)
        self.log = open(self.folder / "apiserver.log", "ab")
        self.process = subprocess.Popen([program, "serve", "--state-dir", self.state, "--listen", f"127.0.0.1:{self.port}",
                                         *self.args],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        until("the apiserver to be ready", self._is_ready, 30, 0.05)

    def _is_ready(self):
        assert self.process.poll() is None, (self.folder / "apiserver.log").read_text()
        try:
            return self.api("/readyz").status == 200
        except OSError:
            return False

    def stop(self, sig=signal.SIGTERM):
        """Ends it; with SIGTERM it has to end by itself and without a fault."""
        self.process.send_signal(sig)
        code = self.process.wait(30)
        self.log.close()
        assert sig != signal.SIGTERM or code == 0, (self.folder / "apiserver.log").read_text()

    def token(self):
        for line in self.kubeconfig.read_text().splitlines():
            if line.strip().startswith("token:"):
                return line.split(":", 1)[1].strip().strip('"')
        raise AssertionError("the kubeconfig holds no token")

    def api(self, path, method="GET", body=None, content_type="application/json", headers=None, timeout=60):
        context = ssl.create_default_context(cafile=self.state / "pki" / "ca.crt")
        all_headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": content_type, **(headers or {})}
        return request(self.url + path, method, body, all_headers, timeout, context)


class Kubectl:
    """One kubectl program, with a cache folder of its own."""

    def __init__(self, program, server, home):
        self.program, self.server = program, server
        self.env = {**os.environ, "HOME": str(home), "KUBECONFIG": str(server.kubeconfig)}
        self.env.pop("KUBECTL_EXTERNAL_DIFF", None)
        self.minor = self._minor()

    def _minor(self):
        return int(re.search(r"v1\.(\d+)", self("version", "--client", "-o", "json").stdout).group(1))

    def __call__(self, *args, input=None, code=0, timeout=60, env=None):
        """Runs it; code is the exit status it has to end with, None for any."""
        r = subprocess.run([self.program, *args], input=input, text=True, capture_output=True, timeout=timeout,
                           env={**self.env, **(env or {})})
        assert code is None or r.returncode == code, f"kubectl {' '.join(args)}: {r.returncode}\n{r.stdout}{r.stderr}"
        return r

    def start(self, *args):
        """Runs it in the background; its output is to be read from stdout, line by line."""
        return subprocess.Popen([self.program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, bufsize=1, env=self.env)


def debian_kubectl(folder):
    """Debian's own kubectl, unpacked and not installed; None when the archive cannot be reached."""
    got = subprocess.run(["apt-get", "download", "kubernetes-client"], cwd=folder, capture_output=True, timeout=120)
    packages = list(pathlib.Path(folder).glob("kubernetes-client_*.deb"))
    if got.returncode or not packages:
        return None
    subprocess.run(["dpkg", "-x", packages[0], f"{folder}/unpacked"], check=True, timeout=120)
    return f"{folder}/unpacked/usr/bin/kubectl"


@functools.cache
def kubectls():
    """All kubectl programs to test with: those of KUBECTLS (separated by colons), or the one in PATH; and Debian's."""
    folder = tempfile.mkdtemp(prefix="kubectl-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    programs = [p for p in os.environ.get("KUBECTLS", "").split(":") if p] or [shutil.which("kubectl")]
    programs = [p for p in [*programs, debian_kubectl(folder)] if p]
    assert programs, "there is no kubectl: install kubernetes-client, or name programs in KUBECTLS"
    return programs
