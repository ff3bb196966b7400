"""Several Locations and hosts: requests go to the nearest VM, cross hosts to one that runs, and nobody else gets in."""

import os
import subprocess
import tempfile

import pytest

from cluster import ROOT, alive, until, vm_processes
from lab import Lab, leftovers, processes_below

LOCATIONS = ("fra", "iad")


@pytest.fixture(scope="module")
def folder():
    # pytest's own temporary folders are closed to the users that HAProxy and QEMU run as.
    path = tempfile.mkdtemp(prefix="berth-lab-", dir="/var/tmp")
    os.chmod(path, 0o755)
    yield path
    os.rmdir(path)


@pytest.fixture(scope="module")
def lab(folder):
    lab = Lab(f"{folder}/state")
    files = [f for f in ("/dev/kvm", ROOT / "build" / lab.build / "guest" / "vmlinux") if os.path.exists(f)]
    owners = [(os.stat(f).st_mode, os.stat(f).st_uid, os.stat(f).st_gid) for f in files]
    vms = set(vm_processes())
    try:
        lab.up("--locations", ",".join(LOCATIONS))
        yield lab
    finally:
        lab.down()
    assert not lab.state.exists() and not leftovers() and not processes_below(folder)
    assert set(vm_processes()) <= vms
    assert [(os.stat(f).st_mode, os.stat(f).st_uid, os.stat(f).st_gid) for f in files] == owners


def hello(lab, location, name):
    answer = lab.get_at(location, f"/hello/{name}")
    assert answer.status == 200, answer
    return answer.json()


def address(lab, name):
    return lab.instance(f"hello.{name}")["status"]["address"]


@pytest.mark.parametrize("location", LOCATIONS)
def test_an_instance_starts_where_its_request_arrives(lab, location):
    assert hello(lab, location, f"at-{location}")["location"] == location
    assert lab.instance(f"hello.at-{location}")["status"]["nodeName"] == f"{location}-1"


def test_a_running_instance_is_reached_through_every_gateway(lab):
    first, far = hello(lab, "fra", "at-fra"), hello(lab, "iad", "at-fra")
    assert far["location"] == "fra" and far["bootId"] == first["bootId"]
    assert hello(lab, "fra", "at-iad")["bootId"] == hello(lab, "iad", "at-iad")["bootId"]


def test_a_vm_is_reached_from_gateways_alone(lab):
    hello(lab, "fra", "at-fra")
    vm = address(lab, "at-fra")
    reached = {host for host in ("machine", "cp", "fra-1", "fra-gw", "iad-1", "iad-gw") if lab.reaches(host, vm)}
    assert reached == {"fra-gw", "iad-gw"}


def test_nodes_follow_the_gateways_of_locations(lab):
    hello(lab, "fra", "at-fra")
    vm, path = address(lab, "at-fra"), "/apis/berth.dev/v1/locations/iad/status"
    node = next(a["address"] for a in lab.object("node", "iad-1")["status"]["addresses"] if a["type"] == "InternalIP")

    def put_gateways(change):
        """The gateway writes the same list: tried again when it came in between."""
        def write():
            location = lab.object("location", "iad")
            body = {"metadata": {"resourceVersion": location["metadata"]["resourceVersion"]},
                    "status": {"gateways": change(location["status"]["gateways"])}}
            return lab.api(path, "PATCH", body, "application/merge-patch+json").status == 200
        until("the Location's status to be written", write, 20)

    put_gateways(lambda gateways: [*gateways, {"name": "another", "url": "http://another", "address": node}])
    until("the node to let the new gateway in", lambda: lab.reaches("iad-1", vm), 20)
    put_gateways(lambda gateways: [g for g in gateways if g["name"] != "another"])
    until("the node to let it in no longer", lambda: not lab.reaches("iad-1", vm), 20)
    assert lab.reaches("iad-gw", vm)


def sent(lab, source):
    """Packets that fra's router gets from fra-1 for a public address, after the VM sent some with this source (None: its own)."""
    lab("run", "fra", "nft", "add table inet probe; flush table inet probe; add chain inet probe in "
        "{ type filter hook prerouting priority -400; }; add rule inet probe in iifname fra-1 ip daddr 192.31.196.7 counter")
    ping = "ping -c 3 -i 0.2 -W 1 {} 192.31.196.7"
    if source:
        ping = f"ip addr add {source}/32 dev eth0; {ping.format('-I ' + source)}; ip addr del {source}/32 dev eth0"
    r = lab.berthctl("exec", "hello.at-fra", "--", "sh", "-c", ping.format("") + "; true")
    assert "3 packets transmitted" in r.stdout, r.stdout + r.stderr
    counted = lab("run", "fra", "nft", "list", "table", "inet", "probe")
    lab("run", "fra", "nft", "delete", "table", "inet", "probe")
    return int(counted.split("packets ")[1].split()[0])


def test_a_vm_cannot_use_the_address_of_a_gateway(lab):
    hello(lab, "fra", "at-fra")
    assert sent(lab, None) > 0
    gateway = lab("gateway-url", "iad").split("//")[1].split(":")[0]
    assert sent(lab, gateway) == 0


def test_a_vm_reaches_no_vm_of_another_host(lab):
    hello(lab, "fra", "at-fra"), hello(lab, "iad", "at-iad")
    script = f"wget -T 2 -q -O - http://{address(lab, 'at-iad')}:8080/ || echo refused"
    r = lab.berthctl("exec", "hello.at-fra", "--", "sh", "-c", script)
    assert r.stdout.strip() == "refused"


def test_an_agent_that_starts_without_apiserver_knows_the_gateways(lab):
    def rules_are_there():
        return lab("run", "fra-1", "nft", "list", "table", "inet", "berth", check=False).returncode == 0

    boot, vm = hello(lab, "iad", "at-fra")["bootId"], address(lab, "at-fra")
    lab("cut", "fra", "cp")
    try:
        lab.kill("fra-1.agent")
        # Whoever starts the agent anew, the rules of before may be gone.
        lab("run", "fra-1", "nft", "delete", "table", "inet", "berth")
        lab("start", "fra-1")
        until("the agent to load its rules", rules_are_there, 60)
        assert hello(lab, "iad", "at-fra")["bootId"] == boot
        assert not lab.reaches("machine", vm) and not lab.reaches("iad-1", vm)
    finally:
        lab("heal", "fra", "cp")


def test_cut_and_heal(lab):
    vm, boot = address(lab, "at-fra"), hello(lab, "iad", "at-fra")["bootId"]
    lab("cut", "fra", "iad")
    assert "cut: fra iad" in lab("status")
    assert not lab.reaches("iad-gw", vm) and lab.reaches("fra-gw", vm)
    lab("heal", "fra", "iad")
    lab("cut", "fra-1")
    assert "cut: fra-1" in lab("status") and not lab.reaches("fra-gw", vm)
    lab("heal", "fra-1")
    assert "cut:" not in lab("status")
    assert hello(lab, "iad", "at-fra")["bootId"] == boot


def test_a_host_loses_its_power_and_comes_back(lab):
    boot = hello(lab, "fra", "at-fra")["bootId"]
    before = vm_processes()
    agent = lab.pid("fra-1.agent")
    lab("kill", "fra-1")
    assert not alive(agent) and len(vm_processes()) == len(before) - 1
    assert [line.split()[-1] for line in lab("status").splitlines() if line.startswith("fra-1 ")] == ["off"]
    assert hello(lab, "iad", "at-iad")["location"] == "iad"
    lab("start", "fra-1")

    def anew():
        answer = lab.get_at("fra", "/hello/at-fra")
        return answer.json()["bootId"] if answer.status == 200 else None

    assert until("the instance to be back", anew, 120, 1) != boot


def test_a_link_gets_a_delay_or_a_reason_why_not(lab):
    netem = subprocess.run(["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem"], capture_output=True)
    r = lab("up", "--no-example", "--delay", "fra-iad=40ms", check=False)
    shaped = [lab("run", a, "tc", "qdisc", "show", "dev", f"to-{b}") for a, b in (LOCATIONS, LOCATIONS[::-1])]
    if netem.returncode:
        assert r.returncode and "no netem" in r.stderr and "netem" not in "".join(shaped)
        return
    assert r.returncode == 0 and all("netem" in s and "delay 40ms" in s for s in shaped)
    lab("up", "--no-example", "--delay", "fra-iad=0")
    assert "netem" not in lab("run", "fra", "tc", "qdisc", "show", "dev", "to-iad")


def test_up_again_changes_nothing(lab):
    services = ("apiserver", "fra-1.agent", "fra-1.libvirtd", "fra-gw.gateway")
    pids, boot = [lab.pid(s) for s in services], hello(lab, "iad", "at-fra")["bootId"]
    lab.up("--no-example")
    assert [lab.pid(s) for s in services] == pids
    assert hello(lab, "iad", "at-fra")["bootId"] == boot


@pytest.mark.parametrize("args,words", [
    (("up", "--locations", "fra,xyz"), "xyz is not among"),
    (("up", "--locations", "fra,syd"), "take it down first"),
    (("up", "--nodes", "0"), "between 1 and"),
    (("up", "--delay", "fra-syd=40ms"), "there is no such link"),
    (("up", "--delay", "fra-iad"), "not like fra-iad=40ms"),
    (("cut", "fra", "syd"), "there is no Location syd"),
    (("kill", "fra-7"), "there is no host fra-7"),
    (("gateway-url", "syd"), "there is no Location syd"),
    (("levitate",), "unknown command"),
])
def test_mistakes_are_named(lab, args, words):
    r = lab(*args, check=False)
    assert r.returncode and words in r.stderr


def test_down_after_an_up_that_was_killed(lab, folder):
    """Taken away at the end of its network, of its control plane, and of its first host."""
    lab.down()
    for service in (None, "apiserver", "fra-1.libvirtd"):
        up = subprocess.Popen([ROOT / "hack/lab", "up", "--no-example"], env=lab.env, stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True)
        sign = lab.state / "run" / f"{service}.pid" if service else lab.state / "lab.conf"
        until("the lab to be half built", sign.exists, 120, 0.02)
        os.killpg(up.pid, 9)
        up.wait()
        lab.down()
        assert not lab.state.exists() and not leftovers() and not processes_below(folder)
