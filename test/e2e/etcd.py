"""An etcd of its own on free ports, to be killed and started again from the same files; or three that are one cluster."""

import pathlib
import signal
import ssl
import subprocess
import urllib.error
import urllib.request

from cluster import free_port, until


class Etcd:
    def __init__(self, folder, pki=None, name="default"):
        """pki: a folder with ca.crt, etcd.crt and etcd.key, for TLS with client certificates."""
        self.folder = pathlib.Path(folder)
        self.pki, self.name = pki, name
        self.url = f"{'https' if pki else 'http'}://127.0.0.1:{free_port()}"
        self.peer = f"http://127.0.0.1:{free_port()}"
        self.cluster = f"{name}={self.peer}"
        self.process = None

    def start(self):
        self.begin()
        self.wait()

    def begin(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        tls = () if not self.pki else (
            "--cert-file", self.pki / "etcd.crt", "--key-file", self.pki / "etcd.key", "--client-cert-auth",
            "--trusted-ca-file", self.pki / "ca.crt")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["etcd", "--name", self.name, "--data-dir", self.folder / "data", "--listen-client-urls", self.url,
                 "--advertise-client-urls", self.url, "--listen-peer-urls", self.peer,
                 "--initial-advertise-peer-urls", self.peer, "--initial-cluster", self.cluster,
                 "--log-level", "error", *tls], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)

    def wait(self):
        until("etcd to answer", self._answers, 30, 0.05)

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        context = None
        if self.pki:
            context = ssl.create_default_context(cafile=self.pki / "ca.crt")
            context.load_cert_chain(self.pki / "etcd.crt", self.pki / "etcd.key")
        try:
            return urllib.request.urlopen(f"{self.url}/health", timeout=2, context=context).status == 200
        except (OSError, urllib.error.URLError):
            return False

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()


class EtcdCluster:
    def __init__(self, folder, count=3):
        self.members = [Etcd(pathlib.Path(folder) / f"m{i}", name=f"m{i}") for i in range(count)]
        for m in self.members:
            m.cluster = ",".join(f"{other.name}={other.peer}" for other in self.members)
        self.url = ",".join(m.url for m in self.members)

    def __enter__(self):
        for m in self.members:
            m.begin()
        for m in self.members:
            m.wait()
        return self

    def __exit__(self, *_):
        for m in self.members:
            m.kill()
