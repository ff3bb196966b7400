"""hack/lab for the end-to-end tests: several Locations and hosts in namespaces of this machine."""

import os
import pathlib
import re
import subprocess

from cluster import ROOT, Cluster, request

PREFIX = "berthlab-"
GATEWAY_PORT = 8080


class Lab(Cluster):
    """Two Locations with one node each. Its API and objects are asked as those of any Cluster; `hello` is deployed."""

    def __init__(self, state):
        super().__init__(state)
        self.env = dict(os.environ, BUILD=self.build, BERTH_LAB_STATE=str(self.state))

    def __call__(self, *args, check=True, timeout=120):
        """Runs hack/lab; returns what it printed on standard output."""
        r = subprocess.run([ROOT / "hack/lab", *args], env=self.env, text=True, capture_output=True,
                           stdin=subprocess.DEVNULL, timeout=timeout)
        if check and r.returncode:
            raise AssertionError(f"hack/lab {' '.join(args)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r.stdout if check else r

    def up(self, *options):
        subprocess.run([ROOT / "hack/lab", "up", *options], env=self.env, check=True, stdin=subprocess.DEVNULL, timeout=500)
        self.api_url = re.search(r"server: \"?(https://[0-9.:]+)", self.kubeconfig.read_text()).group(1)
        self.registry = self.api_url.removeprefix("https://").split(":")[0] + ":5000"

    def down(self):
        subprocess.run([ROOT / "hack/lab", "down"], env=self.env, check=True, stdin=subprocess.DEVNULL, timeout=120)

    def get_at(self, location, path, **kw):
        return request(self("gateway-url", location).strip() + path, **kw)

    def reaches(self, host, address, port=8080):
        """Does an HTTP request from this host to a VM get an answer? Nobody refuses it: it is dropped, or it is not."""
        r = self("run", host, "curl", "-s", "-o", "/dev/null", "--max-time", "2", f"http://{address}:{port}/", check=False)
        assert r.returncode in (0, 28), f"curl on {host}: exit {r.returncode} {r.stderr}"  # 28: the time was up
        return r.returncode == 0


def leftovers():
    """What a lab may have left on this machine."""
    found = [str(p) for folder in ("/run/netns", "/sys/class/net") for p in pathlib.Path(folder).glob(PREFIX + "*")]
    found += [str(p) for p in [pathlib.Path("/run/berth-lab")] if p.exists()]
    found += [str(p) for p in pathlib.Path("/sys/fs/cgroup").rglob("*qemu*berth-*")]
    found += [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if PREFIX in line or "libvirt" in line]
    routes = subprocess.run(["ip", "route"], text=True, capture_output=True, check=True).stdout.splitlines()
    return found + [r for r in routes if r.startswith(("10.110.", "10.111."))]


def processes_below(folder):
    """Processes that were told about this folder on their command line."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and os.fsencode(folder) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has just ended
            pass
    return found
