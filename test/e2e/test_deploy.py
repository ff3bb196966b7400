"""`berthctl build` and `berthctl deploy`: real builds by buildah, a real docker-registry, apiserver and scheduler. The node
is played by FakeNode, so that no VM is needed and images can fail to arrive."""

import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import urllib.error
import urllib.request

import pytest
from apiserver import BIN, Apiserver
from cluster import free_port, until
from fake_agent import BASE, FakeNode

ROUTE = """---
apiVersion: berth.dev/v1
kind: Route
metadata: {{name: {name}}}
spec:
  rules:
    - matches: [{{path: {{type: PathPrefix, value: /{name}}}}}]
      backend: {{container: {name}, port: 80, instance: {{pathSegment: 2}}}}
"""


class World:
    """Registry, apiserver, scheduler, one node; builds have a storage of their own, which needs no privileges of the kernel."""

    def __init__(self, folder):
        self.folder = folder
        self.apiserver = Apiserver(folder)
        self.apiserver.start()
        self.registry = f"127.0.0.1:{free_port()}"
        (folder / "registry.yml").write_text(json.dumps({
            "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": False}}, "http": {"addr": self.registry},
            "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}}}))
        self.log = open(folder / "registry.log", "wb")
        self.processes = [subprocess.Popen(["docker-registry", "serve", folder / "registry.yml"], stdout=self.log,
                                           stderr=subprocess.DEVNULL)]
        until("the registry", self.registry_answers, 30)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/storage"\n')
        self.env = {**os.environ, "KUBECONFIG": str(self.apiserver.kubeconfig), "BUILDAH_ISOLATION": "chroot",
                    "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "HOME": str(folder), "NO_COLOR": "1"}
        for name in ("BERTH_REGISTRY", "STORAGE_DRIVER", "STORAGE_OPTS"):
            self.env.pop(name, None)
        scheduler = open(folder / "scheduler.log", "wb")
        self.processes.append(subprocess.Popen(
            [BIN / "berth-scheduler", "--kubeconfig", self.apiserver.state / "scheduler.kubeconfig"], stdout=scheduler,
            stderr=scheduler))
        self.node = FakeNode(self.apiserver.api, free_port())
        self.node.register()
        self.node.start()

    def registry_answers(self):
        try:
            return urllib.request.urlopen(f"http://{self.registry}/v2/", timeout=5).status == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    def close(self):
        self.node.close()
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(20)
        self.apiserver.stop()

    # ---- what tests do ----

    def berthctl(self, *args, code=0, env=None, cwd=None):
        r = subprocess.run([BIN / "berthctl", *args], text=True, capture_output=True, timeout=120, cwd=cwd,
                           stdin=subprocess.DEVNULL, env={**self.env, **(env or {})})
        assert r.returncode == code, f"berthctl {args}: exit {r.returncode}\n{r.stdout}{r.stderr}"
        return r

    def deploy(self, app, *args, **kw):
        return self.berthctl("deploy", "-f", app / "container.yaml", "--registry", self.registry, *args, **kw)

    def uploads(self):
        """Blobs that were uploaded so far, by the registry's own log."""
        return len(re.findall(r'"PUT /v2/[^ ]*/blobs/uploads/', (self.folder / "registry.log").read_text()))

    def tags(self, repository):
        try:
            with urllib.request.urlopen(f"http://{self.registry}/v2/{repository}/tags/list", timeout=10) as r:
                return json.load(r).get("tags") or []
        except urllib.error.HTTPError as e:
            assert e.code == 404, e
            return []

    def container(self, name):
        r = self.apiserver.api(f"{BASE}/containers/{name}")
        return r.json() if r.status == 200 else None

    def instance(self, name, id):
        r = self.apiserver.api(f"{BASE}/instances", "POST", {
            "apiVersion": "berth.dev/v1", "kind": "Instance",
            "metadata": {"name": f"{name}.{id}", "labels": {"berth.dev/container": name}},
            "spec": {"containerName": name, "id": id, "state": "Running"}})
        assert r.status == 201, r
        until(f"{name}.{id} to be ready", lambda: self.phase(f"{name}.{id}") == "Ready")

    def phase(self, name):
        return self.apiserver.api(f"{BASE}/instances/{name}").json().get("status", {}).get("phase")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("deploy"))
    try:
        yield w
    finally:
        w.close()


@pytest.fixture
def app(tmp_path, request):
    """A folder with a Dockerfile and a manifest, named after the test."""
    return make_app(tmp_path, request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-"))


def make_app(folder, name, image=".", spec=""):
    folder = folder / name
    folder.mkdir()
    (folder / "base").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (folder / "app").write_text(f"the first {name}")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY base /bin/sh\nCOPY app /app\nCMD [\"/bin/sh\"]\n")
    (folder / "container.yaml").write_text(
        f"apiVersion: berth.dev/v1\nkind: Container\nmetadata: {{name: {name}}}\n"
        f"spec:\n  image: {image}\n  ports: [{{containerPort: 80}}]\n{spec}" + ROUTE.format(name=name))
    return folder


def image_of(world, name):
    return world.container(name)["spec"]["image"]


# ---- deploy ----

def test_from_a_dockerfile_to_a_rollout(world, app):
    r = world.deploy(app)
    name = app.name
    assert r.stdout == f"container.berth.dev/{name} created\nroute.berth.dev/{name} created\n"
    assert re.fullmatch(re.escape(f"{world.registry}/{name}@") + "sha256:[0-9a-f]{64}", image_of(world, name))
    assert f"{name}-1 is rolled out" in r.stderr and f"{name} prefetch here: 100%  1 of 1 nodes\n" in r.stderr
    assert "\033" not in r.stderr  # not a terminal: plain lines
    assert world.apiserver.api(f"{BASE}/routes/{name}").status == 200
    assert len(world.tags(name)) == 1

    # The same again: nothing is uploaded, nothing changes.
    before, version = world.uploads(), world.container(name)["metadata"]["generation"]
    r = world.deploy(app)
    assert f"container.berth.dev/{name} unchanged\n" in r.stdout
    assert world.uploads() == before and world.container(name)["metadata"]["generation"] == version


def test_the_second_push_is_of_the_changed_layer(world, app):
    world.deploy(app)
    first, image = world.uploads(), image_of(world, app.name)
    (app / "app").write_text(f"the second {app.name}")
    world.deploy(app)
    assert image_of(world, app.name) != image
    assert world.uploads() - first == 2  # the layer of `COPY app`, and the configuration
    assert len(world.tags(app.name)) == 2


def test_the_file_may_be_named_and_lie_elsewhere(world, tmp_path):
    folder = make_app(tmp_path, "elsewhere", "../elsewhere/deploy/Dockerfile.prod")
    (folder / "deploy").mkdir()
    (folder / "deploy/data").write_text("x")
    (folder / "deploy/Dockerfile.prod").write_text("FROM scratch\nARG WHO\nCOPY data /data\nENV WHO=$WHO\nCMD [\"/data\"]\n")
    world.deploy(folder, "--build-arg", "WHO=me")
    revision = world.apiserver.api(f"{BASE}/revisions/elsewhere-1").json()
    assert "WHO=me" in json.dumps(revision["spec"])


def test_the_cluster_publishes_its_registry(world, app):
    r = world.berthctl("deploy", "-f", app / "container.yaml", code=1)
    assert "--registry" in r.stderr and "BERTH_REGISTRY" in r.stderr and world.container(app.name) is None
    publish = (app / "registry.yaml")
    publish.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-public}\n---\napiVersion: v1\nkind: ConfigMap\n"
                       "metadata: {name: local-registry-hosting, namespace: kube-public}\n"
                       f"data:\n  localRegistryHosting.v1: 'host: \"{world.registry}\"'\n")
    world.berthctl("apply", "-f", publish)
    try:
        world.berthctl("deploy", "-f", app / "container.yaml")
        assert image_of(world, app.name).startswith(f"{world.registry}/{app.name}@")
        r = world.berthctl("deploy", "-f", app / "container.yaml", code=1, env={"BERTH_REGISTRY": "127.0.0.1:1"})
        assert "127.0.0.1:1/" in r.stderr
    finally:
        world.berthctl("delete", "--ignore-not-found", "-f", publish)


def test_arm64_is_refused_before_the_push(world, app):
    subprocess.run(["buildah", "bud", "-q", "--no-cache", "--platform", "linux/arm64", "-t", "localhost/arm", app], check=True,
                   capture_output=True, env=world.env, timeout=120)
    (app / "Dockerfile").write_text("FROM localhost/arm\nCOPY app /more\n")
    r = world.deploy(app, code=1)
    assert "linux/arm64" in r.stderr and "Berth runs linux/amd64" in r.stderr
    assert world.container(app.name) is None and world.tags(app.name) == []
    r = world.berthctl("build", app, "-t", f"{world.registry}/{app.name}:v1", "--push", code=1)
    assert "linux/arm64" in r.stderr and world.tags(app.name) == []


def test_too_large_an_image_is_refused_before_the_push(world, tmp_path):
    folder = make_app(tmp_path, "large", spec="  resources: {vcpu: 1, memory: 256Mi, disk: 1M}\n")
    r = world.deploy(folder, code=1)
    assert "unpacks to" in r.stderr and "1MB" in r.stderr.replace(" ", "").replace(".0", "")
    assert world.container("large") is None and world.tags("large") == []
    manifest = folder / "container.yaml"
    manifest.write_text(manifest.read_text().replace("1M}", "1G}"))
    world.deploy(folder)


def test_a_build_that_fails_changes_nothing(world, app):
    (app / "Dockerfile").write_text("FROM scratch\nCOPY nowhere /x\n")
    r = world.deploy(app, code=1)
    assert "nowhere" in r.stderr and "buildah bud failed with exit code" in r.stderr and "nothing was applied" in r.stderr
    assert world.container(app.name) is None and r.stdout == ""


def test_paths_start_from_the_file_the_folder_or_here(world, app):
    world.berthctl("deploy", "-f", app, "--registry", world.registry)
    image = image_of(world, app.name)
    assert image.startswith(f"{world.registry}/{app.name}@")
    r = subprocess.run([BIN / "berthctl", "deploy", "-f", "-", "--registry", world.registry], cwd=app, text=True,
                       input=(app / "container.yaml").read_text(), capture_output=True, env=world.env, timeout=120)
    assert r.returncode == 0 and image_of(world, app.name) == image, r.stderr
    r = world.berthctl("apply", "-f", app / "container.yaml", code=1)
    assert "spec.image" in r.stderr and "berthctl deploy" in r.stderr


def test_what_is_wrong_is_said_before_anything_is_built(world, app):
    (app / "Dockerfile").unlink()
    r = world.deploy(app, code=1)
    assert "neither a Dockerfile nor a Containerfile" in r.stderr
    r = world.deploy(app, code=1, env={"PATH": "/nonexistent"})
    (app / "Dockerfile").write_text("FROM scratch\n")
    r = world.deploy(app, code=1, env={"PATH": "/nonexistent"})
    assert "apt-get install buildah" in r.stderr


def test_a_registry_that_is_away(world, app):
    r = world.berthctl("deploy", "-f", app / "container.yaml", "--registry", "127.0.0.1:1", code=1)
    assert "cannot push 127.0.0.1:1/" in r.stderr and world.container(app.name) is None


def test_conflicts_say_what_to_do(world, app):
    world.deploy(app)
    r = world.apiserver.api(f"{BASE}/containers/{app.name}?fieldManager=somebody&force=true", "PATCH", {
        "apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": app.name},
        "spec": {"image": "elsewhere.example/x:1"}}, "application/apply-patch+yaml")
    assert r.status == 200, r
    r = world.deploy(app, "--wait=false", code=1)
    assert "somebody" in r.stderr and ".spec.image" in r.stderr and "--force-conflicts" in r.stderr
    world.deploy(app, "--force-conflicts")
    assert image_of(world, app.name).startswith(world.registry)


# ---- the rollout ----

def test_instances_move_and_a_failed_one_is_reported(world, app):
    name = app.name
    world.deploy(app)
    world.instance(name, "a")
    (app / "app").write_text(f"the second {app.name}")
    r = world.deploy(app)
    assert f"{name}-2 is rolled out" in r.stderr
    assert world.apiserver.api(f"{BASE}/instances/{name}.a").json()["status"]["revision"] == f"{name}-2"

    world.node.failing.add(f"{name}-3")
    (app / "app").write_text(f"the third {app.name}")
    r = world.deploy(app, code=1)
    assert f"the rollout of {name}-3 is halted" in r.stderr and f"{name}.a: AppExited: exit code 7" in r.stderr


def test_an_image_that_does_not_arrive_is_reported(world, app):
    world.node.broken["*"] = "no space left on the node"
    try:
        r = world.deploy(app, code=1)
        assert f"error: container.berth.dev/{app.name}: " in r.stderr and "no space left on the node" in r.stderr
    finally:
        world.node.broken.clear()


def test_timeout_and_wait(world, app):
    world.node.slow = True
    try:
        r = world.deploy(app, "--timeout=1s", code=124)
        assert "timed out waiting for" in r.stderr and "nodes hold the image" in r.stderr
        r = world.deploy(app, "--wait=false")
        assert "unchanged" in r.stdout and "prefetch" not in r.stderr
    finally:
        world.node.slow = False
    world.deploy(app)


def test_on_a_terminal_bars_move_and_ctrl_c_leaves_the_rollout(world, app):
    world.node.slow = True
    terminal, theirs = pty.openpty()
    p = subprocess.Popen([BIN / "berthctl", "deploy", "-f", app / "container.yaml", "--registry", world.registry], stderr=theirs,
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**world.env, "TERM": "xterm"})
    os.close(theirs)
    seen = b""

    def shows(text):
        nonlocal seen
        seen += os.read(terminal, 65536)
        return text in seen

    try:
        until("a bar", lambda: shows(b"[######..................]  25%"), 60, 0)
        until("it to be drawn again", lambda: shows(b"\033[2A\r\033[J"), 20, 0)
        p.send_signal(signal.SIGINT)
        until("the farewell", lambda: shows(b"Not watching any more; the rollout goes on"), 20, 0)
        assert p.wait(20) == 130
    finally:
        world.node.slow = False
        p.kill()
        p.wait()
        p.stdout.close()
        os.close(terminal)
    until("the rollout", lambda: world.container(app.name)["status"]["rollout"]["phase"] == "Complete")


# ---- build ----

def test_build_names_and_pushes(world, app):
    r = world.berthctl("build", app)
    assert re.fullmatch(f"localhost/{app.name}:[0-9a-f]{{12}}\n", r.stdout)
    r = world.berthctl("build", ".", "--push", cwd=app, env={"BERTH_REGISTRY": f"{world.registry}/team/"})
    assert re.fullmatch(re.escape(f"{world.registry}/team/{app.name}@") + "sha256:[0-9a-f]{64}\n", r.stdout)
    assert len(world.tags(f"team/{app.name}")) == 1
    r = world.berthctl("build", app, "-t", f"{world.registry}/named:v1", "--push")
    assert world.tags("named") == ["v1"] and r.stdout.startswith(f"{world.registry}/named@sha256:")
    (app / "Other").write_text("FROM scratch\nCOPY app /\n")
    assert world.berthctl("build", app, "-f", app / "Other", "-t", "localhost/other:1").stdout == "localhost/other:1\n"
    world.berthctl("build", app, "-t", "UPPER CASE", code=1)
    world.berthctl("build", code=2)


DOCKER = """#!/usr/bin/python3
# docker's command line, as far as berthctl uses it, played by buildah; its answers are as docker 20.10 and 28 give them.
import json, os, subprocess, sys
os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
args, pushed = sys.argv[1:], {pushed!r}
def buildah(*words):
    subprocess.run(["buildah", *words], check=True)
if args[0] == "build":
    buildah("bud", "--layers", *args[1:])
elif args[0] == "tag":
    buildah(*args)
elif args[0] == "push":
    buildah("push", "--tls-verify=false", "--digestfile", pushed, args[1], "docker://" + args[1])
    digest = open(pushed).read().strip()
    json.dump(["other.example/x@" + digest[:-1] + "0", args[1].rsplit(":", 1)[0] + "@" + digest], open(pushed, "w"))
elif args[:2] == ["image", "inspect"]:
    o = json.loads(subprocess.run(["buildah", "inspect", "--type", "image", args[2]], check=True, capture_output=True).stdout)
    print(json.dumps([{{"Id": args[2], "RepoDigests": json.load(open(pushed)) if os.path.exists(pushed) else [],
                       "Architecture": o["OCIv1"]["architecture"], "Os": o["OCIv1"]["os"], "Size": 4321}}]))
else:
    sys.exit("docker: unknown command")
"""


def test_docker_where_there_is_no_buildah(world, app, tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/docker"
    program.write_text(DOCKER.format(pushed=str(tmp_path / "pushed")))
    program.chmod(0o755)
    r = world.deploy(app, env={"PATH": str(tmp_path / "bin")})
    image = image_of(world, app.name)
    assert f"{app.name}-1 is rolled out" in r.stderr
    with urllib.request.urlopen(urllib.request.Request(
            f"http://{world.registry}/v2/{app.name}/manifests/{image.split('@')[1]}",
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}), timeout=10) as answer:
        assert answer.status == 200
    (app / "Dockerfile").write_text("FROM scratch\nCOPY nowhere /x\n")
    r = world.deploy(app, code=1, env={"PATH": str(tmp_path / "bin")})
    assert "docker build failed with exit code" in r.stderr and image_of(world, app.name) == image
