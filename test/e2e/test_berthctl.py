"""berthctl against a real apiserver: what it shares with kubectl has to behave as kubectl's."""

import json
import os
import subprocess

import pytest
from apiserver import BIN
from cluster import until

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


@pytest.fixture
def berthctl(apiserver):
    def run(*args, code=0):
        r = subprocess.run([BIN / "berthctl", *args], text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
                           env={**os.environ, "KUBECONFIG": str(apiserver.kubeconfig)})
        assert r.returncode == code, f"berthctl {args}: {r.returncode}\n{r.stdout}{r.stderr}"
        return r

    def start(*args):
        return subprocess.Popen([BIN / "berthctl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True,
                                env={**os.environ, "KUBECONFIG": str(apiserver.kubeconfig)})

    run.start = start
    return run


def make(apiserver, *names, finalizers=("example.com/hold",)):
    for name in names:
        r = apiserver.api(MAPS, "POST", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "labels": {"test": "delete"}, "finalizers": list(finalizers)}})
        assert r.status == 201, r


def leaving(apiserver, *names):
    return all("deletionTimestamp" in apiserver.api(f"{MAPS}/{n}").json()["metadata"] for n in names)


def release(apiserver, *names):
    for name in names:
        assert apiserver.api(f"{MAPS}/{name}", "PATCH", {"metadata": {"finalizers": None}}, MERGE).status == 200


# ---- delete ----

@pytest.mark.parametrize("how", [("a", "b", "c"), ("-l", "test=delete")])
def test_all_deletions_are_asked_for_before_any_is_waited_for(apiserver, berthctl, how):
    make(apiserver, "a", "b", "c")
    p = berthctl.start("delete", "configmaps", *how)
    try:
        # The first is held, and the last is asked to go all the same.
        until("all three to be leaving", lambda: leaving(apiserver, "a", "b", "c"), 20, 0.05)
        assert p.poll() is None
        release(apiserver, "c", "b")
        assert p.poll() is None
        release(apiserver, "a")
        out, _ = p.communicate(timeout=30)
    finally:
        p.kill()
        p.wait()
    assert p.returncode == 0 and out == "configmap/a deleted\nconfigmap/b deleted\nconfigmap/c deleted\n"


def test_one_that_fails_does_not_keep_the_others(apiserver, berthctl):
    make(apiserver, "a", "c", finalizers=())
    r = berthctl("delete", "configmaps", "a", "b", "c", code=1)
    assert r.stdout == "configmap/a deleted\nconfigmap/c deleted\n"
    assert r.stderr == 'error: configmaps "b" not found\n'
    assert berthctl("delete", "configmaps", "a", "b", "--ignore-not-found").stdout == ""


def test_all_of_a_type(apiserver, berthctl):
    make(apiserver, "a", "b", finalizers=())
    assert berthctl("delete", "configmaps", "--all").stdout == "configmap/a deleted\nconfigmap/b deleted\n"


def test_a_timeout_names_what_holds_it(apiserver, berthctl):
    make(apiserver, "a", "b")
    r = berthctl("delete", "configmaps", "a", "b", "--timeout=300ms", code=1)
    assert "configmap/a is still being deleted" in r.stderr and "example.com/hold" in r.stderr
    assert leaving(apiserver, "a", "b")
    release(apiserver, "a", "b")
    make(apiserver, "d")
    assert berthctl("delete", "configmaps", "d", "--wait=false").stdout == "configmap/d deleted\n"
    release(apiserver, "d")


# ---- get ----

def test_managed_fields_are_shown_on_request(apiserver, berthctl):
    apiserver.api(f"{MAPS}/fields?fieldManager=me", "PATCH", {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fields"}, "data": {"a": "b"}},
        "application/apply-patch+yaml")
    for target in ("configmaps/fields",), ("configmaps",):
        for form in "json", "yaml":
            assert "managedFields" not in berthctl("get", *target, "-o", form).stdout
            shown = berthctl("get", *target, "-o", form, "--show-managed-fields").stdout
            assert "managedFields" in shown and "manager" in shown
    o = json.loads(berthctl("get", "configmap", "fields", "-o", "json").stdout)
    assert o["data"] == {"a": "b"} and o["metadata"]["uid"]
    berthctl("delete", "configmap", "fields")
