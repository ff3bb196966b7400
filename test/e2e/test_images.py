"""Images, good and hostile, from a real docker-registry through `berth-agent image pull` to a squashfs.

No VM and no apiserver: the folder of one node, the registry, and the tool. Needs root for the full-disk test.
"""

import gzip
import json
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest
from cluster import free_port, until
from oci_push import INDEX, MANIFEST, Layer, Raw, Registry, config_of, digest_of, push

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BERTH_BUILD_DIR", "build") / os.environ.get("BUILD", "debug")
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    host = f"127.0.0.1:{free_port()}"
    (folder / "config.yml").write_text(json.dumps({
        "version": 0.1, "log": {"level": "error"}, "http": {"addr": host},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}}}))
    server = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        try:
            return urllib.request.urlopen(f"http://{host}/v2/", timeout=5).status == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    try:
        until("the registry to answer", answers, 30)
        server.host, server.data = host, folder / "data"
        yield server
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path / "state")


class Node:
    def __init__(self, state):
        self.state = state

    def run(self, *arguments):
        return subprocess.run([BUILD / "bin/berth-agent", "image", *arguments, "--state-dir", self.state],
                              text=True, capture_output=True, timeout=300)

    def pull(self, reference, *options):
        done = self.run("pull", reference, *options)
        assert done.returncode == 0, done.stderr
        return pathlib.Path(done.stdout.strip())

    def refused(self, reference, *options):
        done = self.run("pull", reference, *options)
        assert done.returncode == 1 and done.stdout == "", (done.returncode, done.stdout)
        reason = done.stderr.strip()
        assert "\n" not in reason, reason
        assert not list((self.state / "images").glob("*.sqfs")) and not list((self.state / "tmp").glob("*"))
        return reason


def listing(image):
    """{path: (mode, owner)} of a squashfs."""
    text = subprocess.run(["unsquashfs", "-lln", image], text=True, check=True, capture_output=True).stdout
    found = {}
    for line in text.splitlines():
        mode, owner, rest = line.split(None, 2)
        if "squashfs-root" in rest:
            found[rest.split("squashfs-root", 1)[1].lstrip("/").split(" -> ")[0]] = (mode, owner)
    return found


def content(image, path):
    return subprocess.run(["unsquashfs", "-cat", image, path], check=True, capture_output=True).stdout


# ---- what must work ----

def test_layers_become_one_file_system(registry, node):
    lower = (Layer().dir("etc").file("etc/kept", b"kept").file("etc/gone").file("etc/changed", b"old")
             .dir("cache").file("cache/old").file("tool", b"tool").hardlink("tool2", "tool").symlink("link", "etc"))
    upper = (Layer().file("etc/.wh.gone").file("etc/changed", b"new", uid=12, gid=34, mode=0o4750).dir("cache")
             .file("cache/.wh..wh..opq").file("cache/new").file(".wh.never-there").file("link/through", b"followed")
             .device("dev/null", 1, 3, mode=0o666).file("x" * 120 + "/" + "y" * 120, b"long").file("tool", b"newer"))
    plain = Layer(compress=None).file("plain", b"plain", pax_headers={"SCHILY.xattr.user.a": "b"})
    push(registry.host, "good", "v1", [lower, upper, plain], Entrypoint=["/tool"])
    image = node.pull(f"{registry.host}/good:v1")
    files = listing(image)
    assert "etc/gone" not in files and "cache/old" not in files and not any(".wh." in name for name in files)
    assert files["etc/changed"] == ("-rwsr-x---", "12/34") and files["dev/null"][0] == "crw-rw-rw-"
    assert content(image, "etc/changed") == b"new" and content(image, "etc/kept") == b"kept"
    assert content(image, "etc/through") == b"followed" and content(image, "plain") == b"plain"
    assert content(image, "tool") == b"newer" and content(image, "tool2") == b"tool"
    assert content(image, "x" * 120 + "/" + "y" * 120) == b"long"
    record = json.loads(image.with_suffix(".json").read_text())
    assert record["config"] == {"entrypoint": ["/tool"]}


def test_the_same_as_umoci(registry, node, tmp_path):
    """A second opinion on a tree of real files: the layers as umoci unpacks them, and ours."""
    layers = []
    for folder in ("/usr/share/perl", "/etc", "/usr/include/linux"):
        layer = Layer()
        layer.archive.add(folder, folder.lstrip("/"))
        layers.append(layer)
    push(registry.host, "real", "v1", layers)
    image = node.pull(f"{registry.host}/real:v1")
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{registry.host}/real:v1",
                    f"oci:{tmp_path}/oci:v1"], check=True)
    subprocess.run(["umoci", "--log=error", "unpack", "--image", f"{tmp_path}/oci:v1", tmp_path / "umoci"], check=True)
    subprocess.run(["unsquashfs", "-no-progress", "-quiet", "-d", tmp_path / "ours", image], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["diff", "-r", "--no-dereference", tmp_path / "umoci/rootfs", tmp_path / "ours"], check=True)


def test_index_leads_to_linux_amd64(registry, node):
    digest = push(registry.host, "multi", "amd64", [Layer().file("a")])
    size = len(Registry(registry.host).call("GET", f"/v2/multi/manifests/{digest}", headers={"Accept": MANIFEST}).read())
    entry = {"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": "amd64"}}
    Registry(registry.host).push_manifest("multi", "v1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}, INDEX)
    assert digest[7:] in str(node.pull(f"{registry.host}/multi:v1"))


def test_again_transfers_nothing_and_a_new_layer_only_itself(registry, node):
    base = Layer().file("base", os.urandom(300_000))
    push(registry.host, "shared", "v1", [base])
    node.pull(f"{registry.host}/shared:v1")
    before = {p.name: p.stat().st_mtime_ns for p in (node.state / "blobs/sha256").iterdir()}
    first = node.pull(f"{registry.host}/shared:v1").stat().st_ino
    assert node.pull(f"{registry.host}/shared:v1").stat().st_ino == first
    push(registry.host, "shared", "v2", [base, Layer().file("top")])
    node.pull(f"{registry.host}/shared:v2")
    after = {p.name: p.stat().st_mtime_ns for p in (node.state / "blobs/sha256").iterdir()}
    assert len(after) == 2 and before.items() <= after.items()


def test_corrupt_image_is_found(registry, node):
    push(registry.host, "rot", "v1", [Layer().file("a", os.urandom(100_000))])
    image = node.pull(f"{registry.host}/rot:v1")
    assert node.run("verify").stdout.startswith("ok ")
    with open(image, "r+b") as f:
        f.seek(5000)
        f.write(b"rotten")
    done = node.run("verify")
    assert done.returncode == 1 and done.stdout.startswith("corrupt "), (done.stdout, done.stderr)


# ---- hostile and broken images: each refused with one line that says why ----

def one(layer):
    return lambda host: push(host, "bad", "v1", [layer])


def tar_of(name, **fields):
    return Layer().file(name, **fields)


def lying_layer(host):
    def edit(manifest):
        manifest["layers"][0]["size"] -= 1
    push(host, "bad", "v1", [Layer().file("a", b"b")], edit=edit)


def wrong_config(**changes):
    def make(host):
        layer = Layer().file("a")
        config = config_of([layer])
        config.update(changes)
        push(host, "bad", "v1", [layer], config=config)
    return make


def wrong_diff_id(host):
    layer = Layer().file("a", b"wrong")
    push(host, "bad", "v1", [layer], config=config_of([Layer().file("a", b"right")]))


def index_of(*platforms):
    def make(host):
        digest = push(host, "bad", "arm", [Layer().file("a")], architecture="arm64")
        size = len(Registry(host).call("GET", f"/v2/bad/manifests/{digest}", headers={"Accept": MANIFEST}).read())
        entries = [{"mediaType": MANIFEST, "digest": digest, "size": size, "platform": p} for p in platforms]
        Registry(host).push_manifest("bad", "v1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
    return make


def layers_many(host):
    layer = Layer(compress=None).file("a")
    push(host, "bad", "v1", [layer] * 1000)


def truncated_gzip(host):
    layer = Layer().file("a", os.urandom(100_000))
    push(host, "bad", "v1", [Raw(layer.tar(), blob=layer.blob()[:50_000])])


def bomb(host):
    push(host, "bad", "v1", [Layer().file("zeros", bytes(64 << 20))])


HOSTILE = {
    "dot-dot": (one(tar_of("../../etc/cron.d/x")), "layer 1: the path ../../etc/cron.d/x leads out of the image"),
    "dot-dot inside": (one(tar_of("a/../../b")), "layer 1: the path a/../../b leads out of the image"),
    "hard link out": (one(Layer().hardlink("shadow", "../../../etc/shadow")),
                      "layer 1: the hard link shadow leads out of the image (../../../etc/shadow)"),
    "hard link to the host": (one(Layer().hardlink("shadow", "/etc/shadow")),
                              "layer 1: the hard link shadow has no target: there is no /etc/shadow"),
    "below a file": (one(Layer().file("a").file("a/b")), "layer 1: /a/b lies below a file that is not a directory (a)"),
    "link loop": (one(Layer().symlink("a", "b").symlink("b", "a").file("a/x")),
                  "layer 1: /a/x leads through more than 40 symbolic links"),
    "whiteout of no name": (one(tar_of(".wh..")), "layer 1: /.wh.. is a whiteout of no name"),
    "larger than declared": (lying_layer, "layer 1: it is larger than the "),
    "not what the configuration says": (wrong_diff_id, "and the image's configuration says sha256:"),
    "no tar": (one(Raw(b"this is no archive at all" * 100)), "layer 1: the archive is damaged: "),
    "truncated gzip": (truncated_gzip, "layer 1: the archive is damaged: truncated gzip input"),
    "gzip bomb": (bomb, "layer 1: the image's files are larger than 33554432 bytes, the most that is taken"),
    "gzip bomb behind the end": (one(Raw(Layer().file("a").tar() + bytes(64 << 20))),
                                 "layer 1: the image unpacks to more than 33554432 bytes, the most that is taken"),
    "1,000 layers": (layers_many, "the image has 1000 layers; at most 256 are taken"),
    "for arm64": (wrong_config(architecture="arm64"), "the image is for linux/arm64, not for linux/amd64"),
    "for Windows": (wrong_config(os="windows"), "the image is for windows/amd64, not for linux/amd64"),
    "too few diff_ids": (wrong_config(rootfs={"type": "layers", "diff_ids": []}),
                         "the image's configuration names 0 layers, its manifest 1"),
    "index without amd64": (index_of({"os": "linux", "architecture": "arm64"},
                                     {"os": "linux", "architecture": "arm", "variant": "v7"}),
                            "the image is not there for linux/amd64, only for linux/arm64, linux/arm/v7"),
    "index that lies": (index_of({"os": "linux", "architecture": "amd64"}),
                        "the image is for linux/arm64, not for linux/amd64"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_with_a_reason(registry, node, name):
    make, reason = HOSTILE[name]
    make(registry.host)
    assert reason in node.refused(f"{registry.host}/bad:v1", "--unpacked-max", str(32 << 20))


def test_harmless_oddities(registry, node):
    """Absolute names, links that point out of the image, duplicates and devices stay inside."""
    layer = (Layer().file("/abs/file", b"inside").symlink("out", "/../../../../tmp").file("out/berth-escaped", b"inside")
             .file("twice", b"first").file("twice", b"second").device("dev/sda", 8, 0).symlink("dangling", "/nowhere"))
    push(registry.host, "odd", "v1", [layer])
    image = node.pull(f"{registry.host}/odd:v1")
    assert content(image, "abs/file") == b"inside" and content(image, "tmp/berth-escaped") == b"inside"
    assert content(image, "twice") == b"second"
    assert not os.path.exists("/tmp/berth-escaped")


def test_blob_that_lies_about_its_digest(registry, node):
    layer = Layer().file("a", b"honest")
    push(registry.host, "lie", "v1", [layer])
    blob = digest_of(layer.blob())[7:]
    stored = registry.data / f"docker/registry/v2/blobs/sha256/{blob[:2]}/{blob}/data"
    stored.write_bytes(gzip.compress(Layer().file("a", b"forged").tar()).ljust(stored.stat().st_size, b"\0")
                       [:stored.stat().st_size])
    assert f"layer 1: digest mismatch: it should be sha256:{blob} and is sha256:" in node.refused(f"{registry.host}/lie:v1")
    assert not list((node.state / "blobs/sha256").iterdir())


def test_schema_1(registry, node):
    stub = {"schemaVersion": 1, "name": "old", "tag": "v1", "architecture": "amd64", "fsLayers": [], "history": []}
    # The registry takes no schema 1 any more, so a plain server gives it.
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(stub).encode()
            self.send_response(200)
            self.send_header("Content-Type", SCHEMA1)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        reason = node.refused(f"127.0.0.1:{server.server_port}/old:v1")
        assert "the image's manifest is of schema 1, which is obsolete" in reason
    finally:
        server.shutdown()


@pytest.mark.parametrize("suffix, reason", [
    ("/none:v1", "none has no tag v1"),
    ("/good:missing", "has no tag missing"),
    ("/UPPER", "the repository may hold a-z, 0-9"),
])
def test_not_there(registry, node, suffix, reason):
    push(registry.host, "good", "v1", [Layer().file("a")])
    assert reason in node.refused(registry.host + suffix)


def test_unknown_registry(node):
    assert "registry.invalid" in node.refused("registry.invalid/x:v1")


def test_full_disk(registry, node):
    node.state.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", node.state], check=True)
    try:
        # The blob alone does not fit; then the blob does, and the file system made of it does not.
        push(registry.host, "full", "v1", [Layer().file("a", os.urandom(4 << 20))])
        assert "no space left: 4.2MB of layers are missing, " in node.refused(f"{registry.host}/full:v1")
        push(registry.host, "full", "v2", [Layer().file("a", os.urandom(3 << 19))])
        assert "no space left for the image's file system" in node.refused(f"{registry.host}/full:v2")
    finally:
        subprocess.run(["umount", node.state], check=True)
    shutil.rmtree(node.state)


def test_killed_while_pulling(registry, node):
    """What was transferred before a kill -9 is not transferred again, and nothing half-made is taken for whole."""
    layers = [Layer(compress=None).file(f"noise{i}", os.urandom(8 << 20)) for i in range(4)]
    push(registry.host, "large", "v1", layers)
    command = [BUILD / "bin/berth-agent", "image", "pull", f"{registry.host}/large:v1", "--state-dir", node.state]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until("some bytes", lambda: first.poll() is not None or any((node.state / "blobs/sha256").glob("*")), 60, 0.001)
    first.kill()
    first.wait()
    image = node.pull(f"{registry.host}/large:v1")
    assert {f"noise{i}" for i in range(4)} <= set(listing(image))
    assert not list((node.state / "tmp").iterdir())
