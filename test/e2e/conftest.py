"""Fixtures that several end-to-end tests share."""

import contextlib
import os
import subprocess
import tempfile

import pytest

from apiserver import Apiserver, Kubectl, kubectls
from cluster import Cluster, vm_processes
from etcd import Etcd


@pytest.fixture(scope="module")
def apiserver(tmp_path_factory):
    """On the store that STORE names: sqlite (the default) or etcd."""
    folder = tmp_path_factory.mktemp("apiserver")
    store = os.environ.get("STORE", "sqlite")
    with Etcd(folder / "etcd") if store == "etcd" else contextlib.nullcontext() as etcd:
        server = Apiserver(folder, ("--store", store, *(("--etcd-endpoints", etcd.url) if etcd else ())))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def all_kubectls(apiserver, tmp_path_factory):
    """Every kubectl there is, by its program."""
    return {p: Kubectl(p, apiserver, tmp_path_factory.mktemp("home")) for p in kubectls()}


@pytest.fixture
def kubectl(all_kubectls):
    """The first of them, for tests that need any."""
    return next(iter(all_kubectls.values()))


@pytest.fixture(scope="module")
def cluster():
    """A whole Berth, and nothing of it left afterwards."""
    # pytest's own temporary folders are closed to the users that HAProxy and QEMU run as.
    folder = tempfile.mkdtemp(prefix="berth-e2e-", dir="/var/tmp")
    os.chmod(folder, 0o755)
    c = Cluster(f"{folder}/state")
    try:
        c.up()
        yield c
    finally:
        c.down()
        os.rmdir(folder)
    leftovers = subprocess.run(["nft", "list", "tables"], text=True, capture_output=True).stdout
    assert not c.state.exists() and "inet berth" not in leftovers and not vm_processes()
