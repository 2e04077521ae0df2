"""A primary and its standby of a case's own with a proxy before both, and what the proxy says of them."""

import json
import signal
from contextlib import contextmanager

from bench import DATABASE
from lib.cluster import Cluster
from lib.deadline import eventually
from lib.proxy import base_config, merge

TOKEN = "operate-token-0123456789abcdef"


def status(proxy):
    return json.loads(proxy.http("/api/database-recovery/status")[2])


def mode(proxy):
    return status(proxy)["mode"]


def backends(proxy):
    """{port: document}"""
    return {int(each["backend"].rpartition(":")[2]): each for each in status(proxy)["backends"]}


def role(proxy, port):
    return backends(proxy).get(port, {}).get("role")  # none: not looked at yet


def waiting(proxy):
    """How many clients wait."""
    return json.loads(proxy.http("/api/database-recovery/connections")[2])["total"]["waiting"]


def order(proxy, method, path, document=None, expect=200):
    """A command with the operate token; its answer."""
    code, _, body = proxy.http(path, method, json.dumps(document or {}),
                               {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"})
    assert code == expect, (code, body)
    return json.loads(body)


@contextmanager
def two_nodes(bench, name, schema="", **settings):
    """A primary and a streaming standby."""
    primary = Cluster(bench.workspace, f"{name}_a", settings=settings)
    standby = None
    try:
        primary.create_database(DATABASE, schema)
        standby = Cluster(bench.workspace, f"{name}_b", copy_of=primary, settings=settings)
        yield primary, standby
    finally:
        primary.stop(signal.SIGQUIT)
        if standby:
            standby.stop(signal.SIGQUIT)


@contextmanager
def before(bench, primary, standby, ports=None, **sections):
    """A proxy before two nodes, the standby named first, that has found out who is who."""
    ports = ports or (standby.port, primary.port)
    config = base_config(primary, **merge({"pool": {"hold_timeout": "20s", "size": 4}, "admin": {"operate_token": TOKEN}}, sections))
    config["backends"]["hosts"] = [f"127.0.0.1:{port}" for port in ports]
    with bench.proxy_with(config) as proxy:
        eventually(lambda: role(proxy, ports[1]) == "primary", "the primary is found")
        eventually(lambda: role(proxy, ports[0]) == "standby", "the standby is found")
        yield proxy


@contextmanager
def pair(bench, name, **sections):
    """(primary, standby, proxy)"""
    with two_nodes(bench, name) as (primary, standby), before(bench, primary, standby, **sections) as proxy:
        yield primary, standby, proxy


def holds(proxy):
    """How many requests have been held so far, however that ended."""
    lines = proxy.http("/metrics")[2].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("pgsteady_holds_total{"))
