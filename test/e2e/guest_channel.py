"""The agent's side of the guest channel (lib/channel.h), in Python, for tests and for people who look into a guest."""

import socket
import struct
import time

FRAME_MAX = 65536
TYPES = {
    "ATTACH": 1, "START": 2, "EXEC": 3, "INPUT": 4, "RESIZE": 5, "SIGNAL": 6, "STATS_REQUEST": 7, "POWEROFF": 8, "ACK": 9,
    "RESUME": 10,
    "HELLO": 64, "STARTED": 65, "OUTPUT": 66, "READY": 67, "UNREADY": 68, "EXIT": 69, "STATS": 70, "ERROR": 71,
    "INPUT_ACK": 72, "RESUMED": 73,
}
NAMES = {number: name for name, number in TYPES.items()}
KEYS = [
    "ARG", "ENV", "CWD", "USER", "TTY", "COLUMNS", "ROWS", "STDIN", "SIGNAL", "ADDRESS", "GATEWAY", "DNS", "HOSTNAME",
    "VOLUME", "PROBE_KIND", "PROBE_PORT", "PROBE_PATH", "PROBE_PERIOD_MS", "PROBE_TIMEOUT_MS", "PROBE_FAILURES", "TIME_NS",
    "ENTROPY", "VERSION", "BOOT_ID", "KERNEL", "UPTIME_MS", "STATE", "READY", "PID", "CODE", "OOM", "TEXT", "CPU_US",
    "MEMORY_BYTES", "DISK_BYTES", "NET_RX_BYTES", "NET_TX_BYTES", "PROCESSES", "BYTES", "WINDOW", "DROPPED_BYTES",
]
TEXTS = {"VERSION", "BOOT_ID", "KERNEL", "STATE", "TEXT"}
RAW = {"OUTPUT", "INPUT"}


def encode(kind, stream, fields=(), raw=b""):
    """One frame. fields: pairs of a key's name and a str, bytes, int, or a list of these."""
    payload = bytearray(raw)
    for name, value in fields.items() if isinstance(fields, dict) else fields:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                item = struct.pack("<Q", item)
            elif isinstance(item, str):
                item = item.encode()
            payload += struct.pack("<HI", KEYS.index(name) + 1, len(item)) + item
    return struct.pack("<IBI", 5 + len(payload), TYPES[kind], stream) + bytes(payload)


class Frame:
    """A frame of the guest: kind, stream, and its fields or its raw bytes."""

    def __init__(self, kind, stream, payload):
        self.kind = NAMES[kind]
        self.stream = stream
        self.raw = payload if self.kind in RAW else b""
        self.fields = {}
        at = 0
        while self.kind not in RAW and at < len(payload):
            key, length = struct.unpack_from("<HI", payload, at)
            value = payload[at + 6:at + 6 + length]
            assert len(value) == length, "a field is longer than its frame"
            name = KEYS[key - 1]
            self.fields[name] = value.decode() if name in TEXTS else struct.unpack("<Q", value)[0]
            at += 6 + length

    def __repr__(self):
        return f"{self.kind}({self.stream}, {self.fields or self.raw[:80]})"


class Guest:
    """A connection to the host's end of the port."""

    def __init__(self, path, deadline=20):
        self.path = path
        self.buffer = b""
        self.seen = []
        self.sock = None
        self.connect(deadline)

    def connect(self, deadline=20):
        end = time.monotonic() + deadline
        self.buffer, self.seen = b"", []
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(self.path)
                return
            except OSError:
                self.sock.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def close(self):
        self.sock.close()

    def attach(self, seconds=20):
        """What an agent does on a machine that is running: ATTACH every second until HELLO comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.send("ATTACH", 0)
            turn = time.monotonic() + 1
            while frame := self.next(turn):
                if frame.kind == "HELLO":
                    return frame
        raise AssertionError(f"no HELLO within {seconds} s; seen: {self.seen[-8:]}")

    def send(self, kind, stream, fields=(), raw=b""):
        self.sock.sendall(encode(kind, stream, fields, raw))

    def _take(self):
        if len(self.buffer) < 9:
            return None
        length, kind, stream = struct.unpack_from("<IBI", self.buffer)
        assert 5 <= length <= FRAME_MAX - 4, f"a frame of {length} bytes"
        if len(self.buffer) < length + 4:
            return None
        frame = Frame(kind, stream, self.buffer[9:length + 4])
        self.buffer = self.buffer[length + 4:]
        return frame

    def next(self, deadline):
        """The next frame, or None when there is none before the deadline (time.monotonic())."""
        while True:
            frame = self._take()
            if frame:
                self.seen.append(frame)
                return frame
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(FRAME_MAX)
            except socket.timeout:
                return None
            if not data:
                raise EOFError("the machine closed the channel")
            self.buffer += data

    def wait(self, kind, stream=None, seconds=20):
        """Reads up to the first frame of that kind and stream."""
        end = time.monotonic() + seconds
        while True:
            frame = self.next(end)
            assert frame is not None, f"no {kind}({stream}) within {seconds} s; seen: {self.seen[-8:]}"
            if frame.kind == kind and stream in (None, frame.stream):
                return frame

    def output(self, stream, seconds=20):
        """Reads up to the EXIT of a stream: (stdout, stderr, EXIT, error text or None)."""
        texts, error = {1: b"", 2: b""}, None
        end = time.monotonic() + seconds
        while True:
            frame = self.next(end)
            assert frame is not None, f"stream {stream} has not ended within {seconds} s; seen: {self.seen[-8:]}"
            if frame.stream != stream:
                continue
            if frame.kind == "OUTPUT":
                texts[frame.raw[0]] += frame.raw[1:]
            elif frame.kind == "ERROR":
                error = frame.fields["TEXT"]
            elif frame.kind == "EXIT":
                return texts[1], texts[2], frame, error
