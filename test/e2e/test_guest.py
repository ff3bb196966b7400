"""The guest, alone: one VM in plain QEMU, its PID 1 spoken to over the channel as the agent does. Needs no root.

What an app does to its machine, and what a broken agent sends, must never end PID 1: the tests that try come last and
each ends with the guest still answering.
"""

import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

import pytest
from guest_channel import TYPES, Guest, encode

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BERTH_BUILD_DIR", "build") / os.environ.get("BUILD", "debug")
MEMORY_MIB = 256
CMDLINE = ("console=ttyS0 quiet panic=-1 cryptomgr.notests no_timer_check tsc=reliable 8250.nr_uarts=1 "
           "lsm=landlock,yama noreplace-smp nolapic_timer")


def make_image(folder):
    root = folder / "root"
    for name in ("app", "bin", "etc", "srv"):
        (root / name).mkdir(parents=True)
    for source, target in ((BUILD / "hello/hello", "app/hello"), ("/bin/busybox", "bin/busybox")):
        subprocess.run(["install", "-m755", source, root / target], check=True)
    for tool in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
        if tool != "busybox":
            (root / "bin" / tool).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
    subprocess.run(["mksquashfs", root, folder / "image.squashfs", "-quiet", "-no-progress", "-all-root"], check=True)
    disk = folder / "disk.ext4"
    disk.touch()
    os.truncate(disk, 1 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", disk], check=True)


class Machine:
    """A QEMU with the devices of guest/domain-example.xml; the channel, and a forwarded port."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.socket = str(folder / "channel.sock")
        self.process = subprocess.Popen([
            "qemu-system-x86_64", "-M", "q35,usb=off", "-accel", "tcg", "-nodefaults", "-no-user-config", "-no-reboot",
            "-cpu", "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf-lm,+rdrand", "-m", str(MEMORY_MIB),
            "-display", "none", "-bios", "qboot.rom", "-serial", f"file:{folder}/console.log",
            "-kernel", BUILD / "guest/vmlinux", "-initrd", BUILD / "guest/initramfs.cpio", "-append", CMDLINE,
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=c,path={self.socket},server=on,wait=off",
            "-device", "virtserialport,chardev=c,name=dev.berth.0",
            "-drive", f"if=none,id=a,file={folder}/image.squashfs,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=a",
            "-drive", f"if=none,id=b,file={folder}/disk.ext4,format=raw,cache=unsafe", "-device", "virtio-blk-pci,drive=b",
            "-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{self.port}-:8080", "-device", "virtio-net-pci,netdev=n",
        ])
        self.guest = Guest(self.socket)
        self.streams = 1

    def console(self):
        return (self.folder / "console.log").read_text(errors="replace")

    def start(self, *args, wait="STARTED", **fields):
        words = {"ARG": list(args) or ["/app/hello"], "ENV": ["PORT=8080", "BERTH_INSTANCE_ID=u-1"],
                 "ADDRESS": "10.0.2.15/24", "GATEWAY": "10.0.2.2", "DNS": ["10.0.2.3"], "HOSTNAME": "hello-u-1",
                 "PROBE_KIND": "none"}
        self.guest.send("START", 1, {**words, **fields})
        return self.guest.wait(wait, 1) if wait else None

    def stop(self):
        """The app's end; none is no fault."""
        self.guest.send("SIGNAL", 1, {"SIGNAL": signal.SIGKILL})
        while self.guest.attach().fields["STATE"] == "running":
            time.sleep(0.02)

    def exec(self, *args, stdin=None, **fields):
        """Runs a command to its end: (stdout, stderr, EXIT, error text)."""
        self.streams += 1
        n = self.streams
        self.guest.send("EXEC", n, {"ARG": list(args), **({"STDIN": 1} if stdin is not None else {}), **fields})
        if stdin is not None:
            self.guest.wait("STARTED", n)
            self.guest.send("INPUT", n, raw=stdin)
            self.guest.send("INPUT", n)
        return self.guest.output(n, seconds=60)

    def shell(self, script, **fields):
        out, err, ended, error = self.exec("sh", "-c", script, **fields)
        assert error is None and ended.fields == {"CODE": 0}, (script, out, err, ended, error)
        return out.decode()

    def assert_alive(self):
        assert self.process.poll() is None, self.console()
        assert self.shell("echo alive") == "alive\n"

    def get(self, path="/"):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while piece := s.recv(65536):
                data += piece
        return data.decode()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    make_image(folder)
    m = Machine(folder)
    yield m
    if m.process.poll() is None:
        m.process.kill()
    m.process.wait()


@pytest.fixture(autouse=True)
def leave_no_app_behind(request, machine):
    """A test that fails leaves its app; the next one must not be told that it is running already."""
    yield
    if request.session.testsfailed and machine.process.poll() is None:
        machine.stop()


def test_hello_before_anything_else(machine):
    hello = machine.guest.wait("HELLO", 0, seconds=60).fields
    assert hello["STATE"] == "waiting" and hello["READY"] == 0 and hello["PID"] == 0
    assert re.fullmatch(r"[0-9a-f-]{36}", hello["BOOT_ID"]) and "cloud-amd64" in hello["KERNEL"]


def test_the_app_answers_over_the_network(machine):
    machine.start(PROBE_KIND="http", PROBE_PORT=8080, PROBE_PATH="/ready", ENTROPY=os.urandom(32), TIME_NS=1_800_000_000 * 10**9)
    machine.guest.wait("READY", 1)
    answer = machine.get("/hello/u-1")
    assert '"id":"u-1"' in answer and '"hostname":"hello-u-1"' in answer
    assert int(machine.shell("date +%s")) >= 1_800_000_000
    machine.guest.send("RESUME", 0, {"TIME_NS": 1_900_000_000 * 10**9})
    resumed = machine.guest.wait("RESUMED", 0)
    assert resumed.fields == {"STATE": "running", "READY": 1}
    assert 1_900_000_000 <= int(machine.shell("date +%s")) < 1_900_000_060


def test_the_machine_looks_like_one(machine):
    assert machine.shell("cat /etc/hostname /etc/resolv.conf") == "hello-u-1\nnameserver 10.0.2.3\n"
    assert "10.0.2.15\thello-u-1\n" in machine.shell("cat /etc/hosts")
    assert "default via 10.0.2.2 dev eth0" in machine.shell("ip route")
    assert machine.shell("cat /proc/1/oom_score_adj /proc/self/oom_score_adj") == "-1000\n0\n"
    assert "berth/exec" in machine.shell("cat /proc/self/cgroup")
    assert machine.shell("ls -d /dev/fd/0 /dev/pts/ptmx /dev/shm /dev/null") == "/dev/fd/0\n/dev/null\n/dev/pts/ptmx\n/dev/shm\n"
    assert machine.shell("echo x > /etc/new; cat /etc/new; stat -c %a /tmp") == "x\n1777\n"
    assert machine.shell("echo $BERTH_INSTANCE_ID $HOME $HOSTNAME") == "u-1 /root hello-u-1\n"


def test_exec(machine):
    out, err, ended, _ = machine.exec("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (out, err, ended.fields) == (b"out\n", b"err\n", {"CODE": 7})
    out, _, _, _ = machine.exec("cat", stdin=b"through and back\n" * 3000)
    assert out == b"through and back\n" * 3000
    assert machine.exec("sh", "-c", "kill -9 $$")[2].fields == {"SIGNAL": 9}
    for command, code in ((["no-such-command"], 127), (["/etc/passwd"], 126), (["sh"], 125)):
        fields = {"USER": "nobody-here"} if code == 125 else {}
        _, _, ended, error = machine.exec(*command, **fields)
        assert ended.fields == {"CODE": code} and error


def test_exec_as_someone_somewhere(machine):
    assert machine.shell("id -u; id -g; id -G; pwd", USER="app", CWD="/srv") == "1000\n1000\n1000 2000\n/srv\n"
    assert machine.shell("id -u; id -g", USER="77:88") == "77\n88\n"
    assert machine.shell("echo to-stdout > /dev/stdout", USER="app") == "to-stdout\n"


def test_exec_on_a_terminal(machine):
    g = machine.guest
    g.send("EXEC", 900, {"ARG": ["sh", "-c", "stty size; trap 'stty size; exit 5' WINCH; tty; while :; do sleep 0.1; done"],
                         "TTY": 1, "STDIN": 1, "COLUMNS": 90, "ROWS": 30})
    text = b""
    while b"/dev/pts/" not in text:
        text += g.wait("OUTPUT", 900).raw[1:]
    assert text.startswith(b"30 90\r\n")
    g.send("RESIZE", 900, {"COLUMNS": 100, "ROWS": 40})
    out, _, ended, _ = g.output(900)
    assert out.strip() == b"40 100" and ended.fields == {"CODE": 5}


def test_concurrent_execs(machine):
    streams = range(2000, 2064)
    for n in streams:
        machine.guest.send("EXEC", n, {"ARG": ["sh", "-c", f"echo {n}; read x"], "STDIN": 1})
    assert {machine.guest.wait("STARTED", seconds=60).stream for _ in streams} == set(streams)
    machine.guest.send("EXEC", 3000, {"ARG": ["true"]})
    assert machine.guest.output(3000)[2].fields == {"CODE": 125}
    for n in streams:
        machine.guest.send("INPUT", n)
    assert {machine.guest.wait("EXIT", seconds=60).stream for _ in streams} == set(streams)


def test_stats(machine):
    machine.guest.send("STATS_REQUEST", 0)
    s = machine.guest.wait("STATS", 0).fields
    assert s["CPU_US"] > 0 and s["PROCESSES"] >= 1 and 0 < s["MEMORY_BYTES"] < MEMORY_MIB << 20
    assert s["NET_RX_BYTES"] > 0 and s["NET_TX_BYTES"] > 0 and s["DISK_BYTES"] > 0


def test_sigterm_ends_the_app_gracefully(machine):
    machine.guest.send("SIGNAL", 1, {"SIGNAL": signal.SIGTERM})
    out, _, ended, _ = machine.guest.output(1)
    assert b"stopping" in out and ended.fields == {"CODE": 0}


def test_restart_in_place(machine):
    machine.start("sh", "-c", "echo again; echo $$; id -u; pwd; ls -d /data; exit 42", USER="1000:1000", CWD="/made/for/this",
                  VOLUME=["/data"], wait=None)
    out, err, ended, error = machine.guest.output(1)
    assert error is None and ended.fields == {"CODE": 42}, (out, err, error)
    assert re.fullmatch(rb"again\n\d+\n1000\n/made/for/this\n/data\n", out)
    machine.start("not-in-the-image", wait=None)
    _, _, ended, error = machine.guest.output(1)
    assert ended.fields == {"CODE": 127} and "not found in the image" in error


def test_unready_and_ready_again(machine):
    machine.start("sh", "-c", "while :; do nc -l -p 8099 -e true; rm -f /go; while [ -e /hold ]; do sleep 0.1; done; done",
                  PROBE_KIND="tcp", PROBE_PORT=8099, PROBE_PERIOD_MS=100, PROBE_FAILURES=2)
    machine.guest.wait("READY", 1)
    machine.shell("touch /hold")
    assert "connect" in machine.guest.wait("UNREADY", 1).fields["TEXT"]
    machine.shell("rm /hold")
    machine.guest.wait("READY", 1)
    machine.stop()


def test_a_new_agent_finds_the_app_running(machine):
    pid = machine.start("sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.05; done").fields["PID"]
    machine.guest.wait("OUTPUT", 1)
    machine.guest.send("EXEC", 950, {"ARG": ["sleep", "1000"]})
    machine.guest.wait("STARTED", 950)
    machine.guest.close()
    machine.guest.connect()
    hello = machine.guest.attach().fields
    assert hello["STATE"] == "running" and hello["PID"] == pid
    assert machine.guest.wait("OUTPUT", 1).raw[1:].startswith(b"line ")
    assert "sleep 1000" not in machine.shell("sleep 0.2; ps")
    machine.stop()


def test_output_is_kept_while_nobody_reads(machine):
    machine.start("sh", "-c", "sleep 1; yes | head -c 400000; echo the-end; exit 9")
    machine.guest.close()
    time.sleep(3)
    machine.guest.connect()
    machine.guest.attach()
    text = b""
    while b"the-end" not in text:
        text += machine.guest.wait("OUTPUT", 1, seconds=40).raw[1:]
    assert b"bytes of output were dropped here" in text and len(text) < 200_000
    while (hello := machine.guest.attach().fields)["STATE"] != "exited":
        pass
    assert hello["CODE"] == 9


def test_a_reader_gets_every_byte(machine):
    machine.start("sh", "-c", "seq 1 60000")
    out, _, ended, _ = machine.guest.output(1, seconds=60)
    assert ended.fields == {"CODE": 0} and out == "".join(f"{i}\n" for i in range(1, 60001)).encode()


def test_agents_come_and_go_in_a_flood(machine):
    machine.start("yes")
    for _ in range(10):
        machine.guest.wait("OUTPUT", 1)
        machine.guest.close()
        machine.guest.connect()
        assert machine.guest.attach().fields["STATE"] == "running"
    machine.stop()


# ---- hostile hosts ----------------------------------------------------------------------------------------------------


def garbage(seed):
    """A few kilobytes of nonsense, some of it shaped like frames."""
    rng = __import__("random").Random(seed)
    pieces = []
    for _ in range(30):
        body = rng.randbytes(rng.choice([0, 1, 5, 6, 7, 40, 700]))
        kind = rng.choice([t for n, t in TYPES.items() if n != "POWEROFF"] + [0, 99, 200])
        length = rng.choice([len(body) + 5] * 6 + [0, 4, 5, 65532, 65533, 0xFFFFFFFF])
        pieces.append(struct.pack("<IBI", length, kind, rng.choice([0, 1, 2, 3, 900, 0xFFFFFFFF])) + body)
    return b"".join(pieces)


def test_garbage_on_the_channel(machine):
    machine.start("sleep", "1000")
    for seed in range(20):
        try:
            machine.guest.sock.settimeout(5)
            machine.guest.sock.sendall(garbage(seed))
        except socket.timeout:
            pass
        machine.guest.close()
        machine.guest.connect()
        assert machine.guest.attach().fields["STATE"] in ("running", "exited")
    machine.stop()
    machine.assert_alive()


def test_half_a_frame_from_an_agent_that_died(machine):
    machine.guest.sock.sendall(encode("EXEC", 5, {"ARG": ["true"]})[:20])
    machine.guest.close()
    machine.guest.connect()
    machine.guest.attach()
    machine.assert_alive()


def test_well_formed_nonsense(machine):
    g = machine.guest
    g.send("START", 1)
    assert "ARG" in g.wait("ERROR", 1).fields["TEXT"]
    g.send("EXEC", 1, {"ARG": ["true"]})
    g.wait("ERROR", 1)
    g.send("SIGNAL", 1, {"SIGNAL": 4000})
    g.wait("ERROR", 1)
    for kind in ("INPUT", "RESIZE", "SIGNAL", "ACK"):
        g.send(kind, 12345)
    machine.assert_alive()


# ---- hostile apps -----------------------------------------------------------------------------------------------------


def test_kill_minus_one(machine):
    machine.start("sh", "-c", "trap '' TERM; kill -9 -1; kill -TERM 1; kill -9 1; kill -SEGV 1; kill -STOP 1; echo survived")
    machine.guest.output(1)
    machine.assert_alive()


def test_orphans_are_reaped_and_ended_with_the_app(machine):
    machine.start("sh", "-c", "for i in $(seq 300); do (true &) ; done; (sleep 1000 &); (setsid sleep 1001 &); sleep 1; exit 0")
    machine.guest.output(1, seconds=60)
    processes = machine.shell("sleep 0.3; ps -o stat,args")
    assert "sleep 100" not in processes and not re.search(r"^Z", processes, re.M)


def test_fork_bomb(machine):
    machine.start("sh", "-c", "b() { b | b & }; b; sleep 1000")
    time.sleep(5)
    machine.guest.send("STATS_REQUEST", 0)
    machine.guest.wait("STATS", 0, seconds=60)
    machine.stop()
    machine.assert_alive()


def test_out_of_memory(machine):
    # Less than the machine has, so that it is granted; more than the app may have.
    machine.start("dd", "if=/dev/zero", "of=/dev/null", "bs=212M")
    assert machine.guest.output(1, seconds=120)[2].fields == {"SIGNAL": 9, "OOM": 1}
    machine.assert_alive()


def test_full_disk(machine):
    machine.start("sh", "-c", "cat /dev/zero > /fill; ls -l /fill; exit 0")
    out, err, _, _ = machine.guest.output(1, seconds=180)
    assert b"No space left" in err + out
    machine.assert_alive()
    machine.shell("rm /fill")


def test_app_covers_what_pid1_uses(machine):
    machine.start("sh", "-c", "for f in /proc /sys/fs/cgroup /dev/pts /etc; do mount -t tmpfs none $f; done; rm -f /dev/vport*; echo ok; sleep 1000")
    machine.guest.wait("OUTPUT", 1)
    machine.guest.send("STATS_REQUEST", 0)
    assert machine.guest.wait("STATS", 0).fields["PROCESSES"] >= 1
    out, _, ended, _ = machine.exec("/bin/sh", "-c", "stty size", TTY=1, COLUMNS=81, ROWS=25)
    assert out == b"25 81\r\n" and ended.fields == {"CODE": 0}
    machine.stop()
    machine.shell("for f in /proc /sys/fs/cgroup /dev/pts /etc; do umount $f; done")


def test_flood_of_output(machine):
    machine.start("sh", "-c", "yes & yes >&2 & sleep 3; kill %1 %2; exit 0")
    machine.guest.output(1, seconds=120)
    machine.assert_alive()


def test_power_off(machine):
    machine.start("sh", "-c", "trap '' TERM; sleep 1000")
    machine.guest.send("POWEROFF", 0)
    assert machine.process.wait(30) == 0
    assert "panic" not in machine.console().lower(), machine.console()
    subprocess.run(["e2fsck", "-fn", machine.folder / "disk.ext4"], check=True, capture_output=True)
