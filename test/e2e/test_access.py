"""Identity and access with unmodified kubectls: roles, bindings, questions, impersonation, tokens, certificates."""

import json
import subprocess

import pytest

from apiserver import BIN, kubectls


def pytest_generate_tests(metafunc):
    if "program" in metafunc.fixturenames:
        metafunc.parametrize("program", kubectls())


@pytest.fixture
def k(program, all_kubectls):
    """Each kubectl there is."""
    return all_kubectls[program]


@pytest.fixture
def team(k):
    """A namespace that is gone afterwards, with all its roles and bindings."""
    k("create", "namespace", "team")
    yield "team"
    k("delete", "namespace", "team")


def forbidden(k, *args):
    text = k(*args, code=1).stderr
    assert "Forbidden" in text or "forbidden" in text, text
    return text


def token_of(k, apiserver, name, namespace):
    """By kubectl where it can (1.24 and newer), else by the call that it makes."""
    if k.minor >= 24:
        return k("-n", namespace, "create", "token", name, "--duration=20m").stdout.strip()
    r = apiserver.api(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", "POST",
                      {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 1200}})
    assert r.status == 201, r
    return json.loads(r.body)["status"]["token"]


def test_can_i(k, team):
    assert k("auth", "can-i", "*", "*").stdout.strip() == "yes"
    assert k("auth", "can-i", "list", "instances", "--as=jane", "-n", team, code=1).stdout.strip() == "no"
    k("-n", team, "create", "rolebinding", "jane", "--clusterrole=view", "--user=jane")
    assert k("auth", "can-i", "list", "instances", "--as=jane", "-n", team).stdout.strip() == "yes"
    assert k("auth", "can-i", "list", "instances", "--as=jane", "-n", "default", code=1).stdout.strip() == "no"
    assert k("auth", "can-i", "delete", "instances", "--as=jane", "-n", team, code=1).stdout.strip() == "no"
    assert k("auth", "can-i", "get", "instances", "--subresource=log", "--as=jane", "-n", team).stdout.strip() == "yes"
    assert k("auth", "can-i", "get", "/apis", "--as=jane").stdout.strip() == "yes"
    assert k("auth", "can-i", "get", "/metrics", "--as=jane", code=1).stdout.strip() == "no"
    text = k("auth", "can-i", "--list", "--as=jane", "-n", team).stdout
    assert "containers.berth.dev" in text and "selfsubjectaccessreviews.authorization.k8s.io" in text, text
    assert "secrets" not in text, text


def test_words_of_a_refusal(k, team):
    assert 'Error from server (Forbidden): containers.berth.dev is forbidden: User "jane" cannot list resource "containers" ' \
           'in API group "berth.dev" in the namespace "team"' in forbidden(k, "get", "containers", "-n", team, "--as=jane")
    assert 'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope' in \
        forbidden(k, "get", "nodes", "--as=jane")


def test_roles_made_by_kubectl(k, team):
    """All four are sent as protobuf by kubectl 1.32 and newer."""
    try:
        k("-n", team, "create", "role", "reader", "--verb=get,list", "--resource=configmaps")
        k("-n", team, "create", "rolebinding", "reader", "--role=reader", "--user=joe", "--group=devs")
        k("create", "clusterrole", "team-nodes", "--verb=get", "--resource=nodes", "--resource-name=n1")
        k("create", "clusterrole", "team-paths", "--verb=get", "--non-resource-url=/metrics")
        k("create", "clusterrole", "team-all", "--aggregation-rule=team=yes")
        k("label", "clusterrole", "team-nodes", "team-paths", "team=yes")
        k("create", "clusterrolebinding", "team-all", "--clusterrole=team-all", "--group=devs")
        k("-n", team, "get", "configmaps", "--as=joe")
        forbidden(k, "-n", team, "create", "configmap", "x", "--as=joe")
        devs = ("--as=eve", "--as-group=ops", "--as-group=devs")
        k("-n", team, "get", "configmaps", *devs)
        assert "NotFound" in k("get", "node", "n1", *devs, code=1).stderr
        forbidden(k, "get", "node", "n2", *devs)
        assert "berth_apiserver" in k("get", "--raw", "/metrics", *devs).stdout
        assert "Role/reader" in k("-n", team, "get", "rolebindings", "-o", "wide").stdout
        assert "devs" in k("-n", team, "describe", "rolebinding", "reader").stdout
        assert "configmaps" in k("-n", team, "describe", "role", "reader").stdout
        k("-n", team, "delete", "rolebinding", "reader")
        forbidden(k, "-n", team, "get", "configmaps", "--as=joe")
    finally:
        k("delete", "clusterrolebinding", "team-all", "--ignore-not-found")
        k("delete", "clusterrole", "team-all", "team-nodes", "team-paths", "--ignore-not-found")


def test_default_roles(k):
    names = {line.split()[0] for line in k("get", "clusterroles", "--no-headers").stdout.splitlines()}
    assert {"cluster-admin", "admin", "edit", "view", "system:discovery", "berth:node", "berth:gateway"} <= names
    assert "containers.berth.dev" in k("describe", "clusterrole", "view").stdout
    assert "system:masters" in k("describe", "clusterrolebinding", "cluster-admin").stdout


def test_nobody_gives_more_than_they_hold(k, team):
    k("-n", team, "create", "rolebinding", "bob", "--clusterrole=admin", "--user=bob")
    bob = ("-n", team, "--as=bob")
    k("create", "role", "fine", "--verb=get", "--resource=configmaps", *bob)
    assert "attempting to grant RBAC permissions not currently held" in \
        forbidden(k, "create", "role", "more", "--verb=get", "--resource=nodes", *bob)
    forbidden(k, "create", "rolebinding", "me", "--clusterrole=cluster-admin", "--user=bob", *bob)
    k("create", "rolebinding", "eve", "--clusterrole=edit", "--user=eve", *bob)
    k("-n", team, "get", "secrets", "--as=eve")
    forbidden(k, "get", "clusterroles", "--as=bob")


def test_tokens_of_service_accounts(k, team, apiserver):
    k("-n", team, "create", "serviceaccount", "ci")
    k("-n", team, "create", "rolebinding", "ci", "--clusterrole=edit", f"--serviceaccount={team}:ci")
    token = token_of(k, apiserver, "ci", team)
    ci = ("-n", team, "--token", token)
    k("create", "configmap", "made", *ci)
    forbidden(k, "get", "configmaps", "-n", "default", "--token", token)
    if k.minor >= 28:
        text = k("auth", "whoami", *ci).stdout
        assert "system:serviceaccount:team:ci" in text and "system:serviceaccounts:team" in text, text
    apiserver.stop()
    apiserver.start()
    k("get", "configmap", "made", *ci)  # the key outlives the process
    k("-n", team, "delete", "serviceaccount", "ci")
    assert "Unauthorized" in k("get", "configmap", "made", *ci, code=1).stderr
    k("-n", team, "create", "serviceaccount", "ci")
    assert "Unauthorized" in k("get", "configmap", "made", *ci, code=1).stderr


def test_certificates(k, apiserver, tmp_path):
    """Common name and organisation are user and group; a node reaches only its own."""
    subprocess.run([BIN / "berth-apiserver", "issue", "node", "n1", "--state-dir", apiserver.state, "--address", "127.0.0.1",
                    "--port", str(apiserver.port), "--out", tmp_path], check=True, timeout=60)
    node = ("--kubeconfig", str(tmp_path / "kubeconfig"))
    if k.minor >= 28:
        text = k("auth", "whoami", *node).stdout
        assert "system:node:n1" in text and "system:nodes" in text, text
    manifest = "apiVersion: v1\nkind: Node\nmetadata: {name: %s}\n"
    try:
        k("create", "-f", "-", *node, input=manifest % "n1")
        assert "under its own name only" in k("create", "-f", "-", *node, input=manifest % "n2", code=1).stderr
        k("get", "node", "n1", *node)
        forbidden(k, "get", "nodes", *node)
        forbidden(k, "get", "instances", "-A", *node)
        k("get", "instances", "-A", "--field-selector=spec.nodeName=n1", *node)
        forbidden(k, "get", "secrets", "-A", *node)
    finally:
        k("delete", "node", "n1", "--ignore-not-found")
