"""Credentials and TLS of registries: Secrets named in imagePullSecrets, from the scheduler's resolution to an agent's pull.

Real: docker-registry with TLS, htpasswd and token authentication by its own configuration, the apiserver, the scheduler, the
agent. Played: a token server, the API of Amazon ECR, and a proxy in place of name resolution. No VM and no libvirt.
"""

import base64
import json
import os
import pathlib
import subprocess
import time

import pytest
from apiserver import BIN, Apiserver, Kubectl, kubectls
from cluster import free_port, until
from oci_push import Layer, push
from registry_world import (Ca, DockerRegistry, FakeEcr, Proxy, Server, TokenServer, aws_secret, docker_secret, htpasswd,
                            secret)

REGION = "eu-central-1"
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
PLAIN, TOKEN, UNSAFE, ISSUER = "registry.test", "token.test", "unsafe.test", "issuer.test"
PASSWORD = "pw-$ü:hidden"


class Registries:
    """One data folder with the images app and team/app, behind three doors with TLS and one to push through."""

    def __init__(self, folder):
        data = folder / "data"
        self.ca = Ca(folder / "ca", PLAIN, TOKEN, UNSAFE, ISSUER, ECR, "127.0.0.1")
        self.users = folder / "htpasswd"
        self.users.write_text(htpasswd("alice", PASSWORD))
        self.ecr_users = folder / "htpasswd-ecr"
        self.ecr = FakeEcr(self.ecr_users, REGION)
        self.tokens = TokenServer(self.ca, {"bob": PASSWORD}, ISSUER)
        self.unsafe_tokens = TokenServer(self.ca, {"bob": PASSWORD})
        self.push_to = DockerRegistry(folder, data)
        self.plain = DockerRegistry(folder, data, self.ca, {"htpasswd": {"realm": "r", "path": str(self.users)}})
        self.token = DockerRegistry(folder, data, self.ca, self.tokens.auth())
        self.unsafe = DockerRegistry(folder, data, self.ca, self.unsafe_tokens.auth())
        self.ecr_door = DockerRegistry(folder, data, self.ca, {"htpasswd": {"realm": "r", "path": str(self.ecr_users)}})
        self.proxy = Proxy({f"{name}:443": server.port for name, server in (
            (PLAIN, self.plain), (TOKEN, self.token), (UNSAFE, self.unsafe), (ISSUER, self.tokens), (ECR, self.ecr_door))})
        self.env = {**os.environ, "https_proxy": self.proxy.url}
        self.options = [o for host in (PLAIN, TOKEN, UNSAFE, ECR) for o in ("--registry-ca", f"{host}={self.ca.file}")]
        self.options += ["--ecr-endpoint", self.ecr.url]
        for n, repository in enumerate(("app", "team/app")):
            push(self.push_to.host, repository, "v1", [Layer().file(f"content-{n}")])

    def push(self, repository):
        return push(self.push_to.host, repository, "v1", [Layer().file("content", os.urandom(32))])

    def stop(self):
        for part in (self.proxy, self.plain, self.token, self.unsafe, self.ecr_door, self.push_to, self.tokens, self.unsafe_tokens,
                     self.ecr):
            part.stop()


@pytest.fixture(scope="module")
def registries(tmp_path_factory):
    made = Registries(tmp_path_factory.mktemp("registries"))
    yield made
    made.stop()


# ---- one pull with `berth-agent image`: everything that can be right or wrong with a registry ----

@pytest.fixture
def pull(registries, tmp_path):
    """pull(reference, Secret…) → (the squashfs, "") or (None, the reason)."""
    def pull(reference, *secrets, options=None):
        files = []
        for n, one in enumerate(secrets):
            path = tmp_path / f"secret-{n}.json"
            path.write_text(one if isinstance(one, str) else json.dumps(one))
            files += ["--pull-secret", path]
        done = subprocess.run([BIN / "berth-agent", "image", "pull", reference, "--state-dir", tmp_path / "state", *files,
                               *(registries.options if options is None else options)],
                              text=True, capture_output=True, timeout=120, env=registries.env)
        for hidden in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), "aws-secret-value", "session/token",
                       *registries.ecr.passwords):
            assert hidden not in done.stdout + done.stderr
        reason = done.stderr.strip()
        assert "\n" not in reason, reason
        return done.stdout.strip() or None, reason
    return pull


def test_basic_over_verified_tls(pull):
    assert pull(f"{PLAIN}/app:v1", docker_secret("s", PLAIN, "alice", PASSWORD))[0]
    assert pull(f"{PLAIN}/app:v1", docker_secret("s", f"https://{PLAIN}/v2/", "alice", PASSWORD))[0]


def test_no_credentials(pull):
    _, reason = pull(f"{PLAIN}/app:v1")
    assert reason.endswith(f"{PLAIN} wants credentials, or there is no such repository; "
                           "name a Secret with them in spec.imagePullSecrets"), reason
    _, reason = pull(f"{PLAIN}/app:v1", docker_secret("s", "elsewhere.test", "alice", PASSWORD))
    assert reason.endswith("; Secret default/s of spec.imagePullSecrets holds none for this image"), reason
    _, reason = pull(f"{PLAIN}/app:v1", secret("s", "Opaque", {"password": PASSWORD}))
    assert "; Secret default/s is of type Opaque: an image pull Secret is of type" in reason


def test_wrong_credentials(pull):
    _, reason = pull(f"{PLAIN}/app:v1", docker_secret("s", PLAIN, "alice", "wrong"))
    assert reason.endswith(f"{PLAIN} refuses the credentials of Secret default/s: correct them, or give that account the right "
                           "to pull"), reason


def test_several_secrets_and_paths(pull):
    right, wrong = docker_secret("right", PLAIN, "alice", PASSWORD), docker_secret("wrong", f"{PLAIN}/team", "alice", "x")
    # The longer path is tried first, and the other one where it is refused.
    assert pull(f"{PLAIN}/team/app:v1", wrong, right)[0]
    assert pull(f"{PLAIN}/team/app:v1", docker_secret("s", f"{PLAIN}/team", "alice", PASSWORD))[0]
    assert "Secret default/s of spec.imagePullSecrets holds none" in \
        pull(f"{PLAIN}/app:v2", docker_secret("s", f"{PLAIN}/team", "alice", PASSWORD))[1]


def test_tls_is_verified(pull, registries):
    good = docker_secret("s", PLAIN, "alice", PASSWORD)
    _, reason = pull(f"{PLAIN}/app:v1", good, options=[])
    assert f"give scheduler and agents the registry's CA with --registry-ca {PLAIN}=FILE" in reason
    # The CA of one registry is not that of another.
    _, reason = pull(f"{PLAIN}/app:v1", good, options=["--registry-ca", f"{TOKEN}={registries.ca.file}"])
    assert "--registry-ca" in reason
    assert pull(f"{PLAIN}/app:v1", good, options=["--registry-ca", registries.ca.file])[0]
    assert pull(f"{PLAIN}/app:v1", good, options=["--insecure-registry", PLAIN])[0]


def test_tls_of_a_local_registry(pull, registries, tmp_path):
    """Not verified by itself; but verified with a CA, which then has to be the right one."""
    host = registries.plain.host
    good = docker_secret("s", host, "alice", PASSWORD)
    assert pull(f"{host}/app:v1", good, options=[])[0]
    assert pull(f"{host}/app:v1", good, options=["--registry-ca", f"{host}={registries.ca.file}"])[0]
    other = Ca(tmp_path / "other", "127.0.0.1")
    assert "certificate" in pull(f"{host}/app:v1", good, options=["--registry-ca", f"{host}={other.file}"])[1]


def test_options_that_are_wrong(pull):
    assert "--registry-ca x=/nowhere: say HOST[:PORT]=FILE" in pull(f"{PLAIN}/app:v1", options=["--registry-ca", "x=/nowhere"])[1]
    assert "--ecr-endpoint x: say a URL" in pull(f"{PLAIN}/app:v1", options=["--ecr-endpoint", "x"])[1]


def test_bearer_token(pull, registries):
    assert pull(f"{TOKEN}/app:v1", docker_secret("s", TOKEN, "bob", PASSWORD))[0]
    assert registries.tokens.served
    _, reason = pull(f"{TOKEN}/app:v1", docker_secret("s", TOKEN, "bob", "wrong"))
    assert f"{TOKEN} refuses the credentials of Secret default/s" in reason
    _, reason = pull(f"{TOKEN}/app:v1")
    assert f"{TOKEN} wants credentials" in reason


def test_credentials_never_go_to_a_token_server_without_tls(pull, registries):
    _, reason = pull(f"{UNSAFE}/app:v1", docker_secret("s", UNSAFE, "bob", PASSWORD))
    assert "without TLS, which is refused" in reason and not registries.unsafe_tokens.served
    assert pull(f"{UNSAFE}/app:v1", docker_secret("s", UNSAFE, "bob", PASSWORD), options=["--insecure-registry", UNSAFE])[0]


def test_ecr(pull, registries):
    assert pull(f"{ECR}/app:v1", aws_secret("aws", "AKIDEXAMPLE", "aws-secret-value"))[0]
    assert pull(f"{ECR}/team/app:v1", aws_secret("aws", "ASIDEXAMPLE", "other-secret", "session/token+value=="))[0]
    assert not registries.proxy.refused, "only the endpoint is asked"


@pytest.mark.parametrize("key, value, session, reason", [
    ("AKIDUNKNOWN", "x", None, "(UnrecognizedClientException): there is no such key: correct AWS_ACCESS_KEY_ID"),
    ("AKIDEXAMPLE", "x", None, "(InvalidSignatureException): correct AWS_SECRET_ACCESS_KEY, or this machine's clock"),
    ("ASIDEXAMPLE", "other-secret", "session/token-old", "(ExpiredTokenException): its AWS_SESSION_TOKEN has expired"),
])
def test_ecr_refuses(pull, key, value, session, reason):
    got = pull(f"{ECR}/app:v1", aws_secret("aws", key, value, session))[1]
    assert f"AWS refuses the key of Secret default/aws {reason}" in got, got


def test_ecr_denies(pull, registries):
    registries.ecr.denied.add("AKIDEXAMPLE")
    try:
        got = pull(f"{ECR}/app:v1", aws_secret("aws", "AKIDEXAMPLE", "aws-secret-value"))[1]
    finally:
        registries.ecr.denied.clear()
    assert "(AccessDeniedException): allow that key the action ecr:GetAuthorizationToken" in got, got


def test_ecr_answers_nonsense(pull):
    server = Server(lambda request: (200, {"authorizationData": [{"authorizationToken": "?"}]}))
    try:
        got = pull(f"{ECR}/app:v1", aws_secret("aws", "AKIDEXAMPLE", "aws-secret-value"), options=["--ecr-endpoint", server.url])[1]
    finally:
        server.stop()
    assert "the answer of Amazon ECR holds no authorization token" in got, got


def test_an_aws_key_is_for_ecr_alone(pull, registries):
    asked = registries.ecr.calls
    got = pull(f"{PLAIN}/app:v1", aws_secret("aws", "AKIDEXAMPLE", "aws-secret-value"))[1]
    assert "Secret default/aws of spec.imagePullSecrets holds none for this image" in got
    assert registries.ecr.calls == asked


# ---- the whole way: Secret → Container → scheduler → Image → agent ----

class World:
    """An apiserver, the scheduler, and one agent whose libvirt never answers: images it fetches all the same."""

    def __init__(self, folder, registries):
        self.folder, self.registries = folder, registries
        self.server = Apiserver(folder)
        self.server.start()
        self.logs, self.processes = [], []
        self.post("/apis/berth.dev/v1/locations", {"apiVersion": "berth.dev/v1", "kind": "Location", "metadata": {"name": "here"},
                                                   "spec": {"latitude": 50, "longitude": 8}})
        subprocess.run([BIN / "berth-apiserver", "issue", "node", "n1", "--state-dir", self.server.state, "--address",
                        "127.0.0.1", "--port", str(self.server.port), "--out", folder / "tls"], check=True, timeout=60)
        self.start("scheduler", BIN / "berth-scheduler", "--kubeconfig", self.server.state / "scheduler.kubeconfig")
        fake = folder / "file"
        fake.write_text("")
        self.start("agent", BIN / "berth-agent", "--kubeconfig", folder / "tls/kubeconfig", "--node-name", "n1", "--location",
                   "here", "--state-dir", folder / "agent", "--listen", f"127.0.0.1:{free_port()}", "--tls-dir", folder / "tls",
                   "--kernel", fake, "--initrd", fake, "--hypervisor", "qemu+unix:///system?socket=/nonexistent",
                   "--nft-table", "berth_test_registries", "--gateway-user", "root")

    def start(self, name, *command):
        log = open(self.folder / f"{name}.log", "ab")
        self.logs.append(log)
        self.processes.append(subprocess.Popen([*command, "--log-level", "debug", *self.registries.options], stdout=log,
                                               stderr=log, stdin=subprocess.DEVNULL, env=self.registries.env))

    def post(self, path, body):
        r = self.server.api(path, "POST", body)
        assert r.status == 201, r
        return r.json()

    def secret(self, body):
        """Creates it, or replaces what it holds."""
        path = "/api/v1/namespaces/default/secrets"
        r = self.server.api(f"{path}/{body['metadata']['name']}", "PUT", body)
        if r.status == 404:
            self.post(path, body)

    def container(self, name, image, *secrets):
        self.post("/apis/berth.dev/v1/namespaces/default/containers", {
            "apiVersion": "berth.dev/v1", "kind": "Container", "metadata": {"name": name},
            "spec": {"image": image, "imagePullSecrets": [{"name": s} for s in secrets]}})

    def condition(self, name, kind):
        o = self.server.api(f"/apis/berth.dev/v1/namespaces/default/containers/{name}").json()
        found = [c for c in o.get("status", {}).get("conditions", []) if c["type"] == kind]
        return found[0] if found else {"status": "", "message": ""}

    def await_true(self, name, kind, seconds=90):
        self.await_condition(name, kind, lambda c: c["status"] == "True", seconds)

    def await_message(self, name, kind, part):
        self.await_condition(name, kind, lambda c: part in c["message"], 60)

    def await_condition(self, name, kind, wanted, seconds):
        seen = {}

        def found():
            seen.update(self.condition(name, kind))
            return wanted(seen)

        try:
            until(kind, found, seconds, 0.1)
        except AssertionError:
            raise AssertionError(f"{kind} of {name} is still {seen}") from None

    def image(self, digest):
        return self.server.api("/apis/berth.dev/v1/images/" + digest.replace(":", "-")).json()

    def everything(self):
        """All that others than the Secrets' owners get to see."""
        texts = [p.read_text(errors="replace") for p in self.folder.glob("*.log")]
        for path in ("apis/berth.dev/v1/containers", "apis/berth.dev/v1/revisions", "apis/berth.dev/v1/images", "api/v1/nodes",
                     "api/v1/events"):
            r = self.server.api(f"/{path}")
            assert r.status == 200, r
            texts.append(r.body.decode())
        return "\n".join(texts)

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.server.stop()
        for log in self.logs:
            log.close()
        if (self.folder / "agent/forwarding-enabled").exists():
            pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("0")


@pytest.fixture(scope="module")
def world(registries, tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"), registries)
    yield made
    made.stop()


def test_secret_leads_to_the_image(world, registries, tmp_path):
    digest = registries.push("first")
    kubectl = Kubectl(kubectls()[0], world.server, tmp_path)
    kubectl("create", "secret", "docker-registry", "regcred", f"--docker-server={PLAIN}", "--docker-username=alice",
            f"--docker-password={PASSWORD}")
    world.container("first", f"{PLAIN}/first:v1", "regcred")
    world.await_true("first", "ImageResolved")
    world.await_true("first", "Prefetched")
    assert world.image(digest)["spec"]["pullSecrets"] == [{"namespace": "default", "name": "regcred"}]


def test_missing_then_made(world, registries):
    registries.push("late")
    world.container("late", f"{PLAIN}/late:v1", "late-secret")
    world.await_message("late", "ImageResolved", "Secret default/late-secret does not exist: create it, or take it out of "
                                                 "imagePullSecrets")
    world.secret(docker_secret("late-secret", PLAIN, "alice", PASSWORD))
    world.await_true("late", "Prefetched")


def test_wrong_then_rotated(world, registries):
    registries.push("rotated")
    world.secret(docker_secret("rotated", PLAIN, "alice", "stale-password"))
    world.container("rotated", f"{PLAIN}/rotated:v1", "rotated")
    world.await_message("rotated", "ImageResolved", f"{PLAIN} refuses the credentials of Secret default/rotated: correct them")
    world.secret(docker_secret("rotated", PLAIN, "alice", PASSWORD))
    world.await_true("rotated", "Prefetched")


def test_another_secret_without_another_revision(world, registries):
    """A change of imagePullSecrets reaches the Image, and so the nodes."""
    digest = registries.push("swapped")
    world.secret(docker_secret("swap-a", PLAIN, "alice", PASSWORD))
    world.container("swapped", f"{PLAIN}/swapped:v1", "swap-a")
    world.await_true("swapped", "Prefetched")
    world.secret(docker_secret("swap-b", PLAIN, "alice", PASSWORD))
    path = "/apis/berth.dev/v1/namespaces/default/containers/swapped"
    r = world.server.api(path, "PATCH", {"spec": {"imagePullSecrets": [{"name": "swap-b"}]}}, "application/merge-patch+json")
    assert r.status == 200, r
    until("the Image to name it", lambda: world.image(digest)["spec"]["pullSecrets"] == [{"namespace": "default", "name": "swap-b"}])
    assert world.server.api(path).json()["status"]["updatedRevision"] == "swapped-1"


def test_token_server(world, registries):
    registries.push("token")
    world.secret(docker_secret("token", TOKEN, "bob", PASSWORD))
    world.container("token", f"{TOKEN}/token:v1", "token")
    world.await_true("token", "Prefetched")


def test_ecr_password_is_kept_and_renewed(world, registries):
    """Scheduler and agent each ask once while the password lives, and again when it was withdrawn, when it has expired, and
    when the Secret was rotated."""
    ecr = registries.ecr

    def deploy(name):
        before = ecr.calls
        registries.push(name)
        world.container(name, f"{ECR}/{name}:v1", "aws")
        world.await_true(name, "Prefetched")
        return ecr.calls - before

    world.secret(aws_secret("aws", "AKIDEXAMPLE", "aws-secret-value"))
    assert deploy("ecr-one") == 2
    assert deploy("ecr-two") == 0
    ecr.revoke()
    assert deploy("ecr-three") == 2
    # A rotated key counts at once.
    ecr.keys, ecr.life = {"AKIDNEW": ("rotated-aws-secret", None)}, 2
    world.secret(aws_secret("aws", "AKIDNEW", "rotated-aws-secret"))
    assert deploy("ecr-four") == 2
    expired = time.monotonic() + ecr.life
    until("the password to expire", lambda: time.monotonic() > expired)
    assert deploy("ecr-five") == 2


def test_nothing_is_told(world, registries):
    """P15: no password, key or token in logs, Events, status or what get shows."""
    text = world.everything()
    assert "regcred" in text
    auth = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    for hidden in (PASSWORD, "stale-password", auth, "aws-secret-value", "rotated-aws-secret", *registries.ecr.passwords,
                   *(base64.b64encode(f"AWS:{p}".encode()).decode() for p in registries.ecr.passwords)):
        assert hidden not in text
