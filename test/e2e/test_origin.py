"""Where a client is: a gateway behind trusted proxies finds the Location near it by its network."""

import json

import pytest

from cluster import until
from gateway_world import CLUSTER, World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("origin")
    folder.chmod(0o711)
    for parent in list(folder.parents)[:2]:
        parent.chmod(0o711)
    w = World(folder, flags=["--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "192.0.2.0/24"])
    w.start()
    w.create(f"{CLUSTER}/locations", "Location", "far",
             {"latitude": -34, "longitude": 151, "clientCIDRs": ["203.0.113.0/24", "2001:db8::/32"]})
    w.app("app")
    yield w
    w.close()


def wake(w, name, *forwarded):
    """The Instance after a request with these X-Forwarded-For, and what its app saw of it."""
    headers = {"X-Forwarded-For": ", ".join(forwarded)} if forwarded else {}
    r = w.get(f"/app/{name}", headers=headers)
    assert r.status == 200, r
    return w.instance(f"app.{name}")["spec"], json.loads(r.body)["headers"]["x-forwarded-for"]


def test_the_network_of_the_client_names_the_location(world):
    spec, seen = wake(world, "one", "203.0.113.9")
    assert (spec["origin"], spec["clientLocation"], seen) == ("here", "far", "203.0.113.9")
    spec, seen = wake(world, "six", "2001:db8::7")
    assert (spec["clientLocation"], seen) == ("far", "2001:db8::7")


def test_without_a_network_it_is_the_gateway(world):
    spec, seen = wake(world, "two", "198.51.100.7")
    assert spec["origin"] == "here" and "clientLocation" not in spec and seen == "198.51.100.7"
    spec, seen = wake(world, "three")
    assert spec["origin"] == "here" and "clientLocation" not in spec and seen == "127.0.0.1"


def test_only_trusted_proxies_are_believed(world):
    # What the client claims stands before what the proxy saw.
    spec, seen = wake(world, "liar", "203.0.113.9", "198.51.100.7")
    assert "clientLocation" not in spec and seen == "198.51.100.7"
    # Two trusted proxies in a row.
    spec, seen = wake(world, "chain", "198.51.100.1", "203.0.113.9", "192.0.2.5")
    assert (spec["clientLocation"], seen) == ("far", "203.0.113.9")
    # Nothing is looked for beyond what is no address.
    spec, seen = wake(world, "odd", "203.0.113.9", "unknown")
    assert "clientLocation" not in spec and seen == "127.0.0.1"


def test_the_next_wake_decides_anew(world):
    spec, _ = wake(world, "moves", "203.0.113.9")
    assert spec["clientLocation"] == "far"
    path = "/apis/berth.dev/v1/namespaces/default/instances/app.moves"
    world.api(path, "PATCH", {"spec": {"state": "Asleep"}}, "application/merge-patch+json")
    until("it to sleep", lambda: world.phase("app.moves") == "Asleep", 20, 0.05)
    spec, _ = wake(world, "moves", "198.51.100.7")
    assert spec["origin"] == "here" and "clientLocation" not in spec
