"""Fixtures that several end-to-end tests share."""

import pytest

from apiserver import Apiserver, Kubectl, kubectls


@pytest.fixture(scope="module")
def apiserver(tmp_path_factory):
    server = Apiserver(tmp_path_factory.mktemp("apiserver"))
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
