# SPDX-License-Identifier: GPL-3.0-or-later
"""Node restarts on the lab: how they are begun, watched and held against what must be."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter

from lab import cluster, faults
from lab.api import ApiError
from labs import eventually
from modules import run_module
from node_audit import MARK, RESTART_NAMESPACE, Plan, find_violations, read_deeds

RECORD = "/api/v1/namespaces/bound-tokens/configmaps/bound-tokens-run"
#: What each run on the lab needs: an image that is there, consent to lose what is in emptyDirs, and no long waits.
OPTIONS = {
    "image": "lab.local/shell:1",
    "delete_options": {"delete_emptydir_data": True},
    "stable_seconds": 1,
}

#: How many etcd members live, again and again: one line each time. A member is dead when it does not answer twice in a row.
ASK_MEMBERS = """
import ssl, sys, urllib.request
from concurrent.futures import ThreadPoolExecutor
ca, cert, key, *addresses = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
def lives(address):
    for _again in range(2):
        try:
            with urllib.request.urlopen(f"https://{address}:2379/health?serializable=true", context=context, timeout=10):
                return True
        except OSError:
            pass
    return False
with ThreadPoolExecutor(len(addresses)) as pool:
    while True:
        print(sum(pool.map(lives, addresses)), flush=True)
"""


def nodes(lab):
    """The nodes by name."""
    return {node["metadata"]["name"]: node for node in eventually(lambda: lab.api.items("/api/v1/nodes"))}


def boot_ids(lab):
    """What each node reports."""
    return {name: node["status"]["nodeInfo"]["bootID"] for name, node in nodes(lab).items()}


def is_cordoned(lab, node):
    return nodes(lab)[node]["spec"].get("unschedulable", False)


def set_cordon(lab, node, cordoned):
    """Cordon a node, or undo it, as a person would."""
    lab.api.merge(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": cordoned or None}})


def busiest(lab):
    """The worker with the most pods of the shop."""
    pods = lab.api.items("/api/v1/namespaces/shop/pods")
    return Counter(pod["spec"].get("nodeName") for pod in pods).most_common(1)[0][0]


def make_whole(lab):
    """Nothing is wrong with any node, and no run has left anything."""
    for node in lab.settings.nodes:
        faults.mend(lab.settings, node.name)
    for name in nodes(lab):
        body = {"metadata": {"annotations": {MARK: None}}, "spec": {"unschedulable": None}}
        eventually(lambda name=name, body=body: lab.api.merge(f"/api/v1/nodes/{name}", body))
    for path in (RECORD, f"/api/v1/namespaces/{RESTART_NAMESPACE}"):
        with contextlib.suppress(ApiError):
            lab.api.request("DELETE", path)
    eventually(lambda: not cluster.unhealthy(lab.settings))
    eventually(lambda: not exists(lab, f"/api/v1/namespaces/{RESTART_NAMESPACE}"))


def exists(lab, path):
    try:
        lab.api.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


def restart(lab, *nodes, check_mode=False, **options):
    """The result of node_restart."""
    given = {**OPTIONS, "nodes": list(nodes), **options}
    return run_module("node_restart", check_mode=check_mode, kubeconfig=lab.kubeconfig, **given)


def as_role(**options):
    """The role's variables of a module's options."""
    return {f"node_restart_{name.removeprefix('restart_')}": value for name, value in {**OPTIONS, **options}.items()}


def plan(lab, cordoned=(), **more):
    """What a run in this lab must keep to: one node of a pool at a time."""
    return Plan(
        pools={node.name: "master" if node.master else "worker" for node in lab.settings.nodes},
        control_plane=frozenset(node.name for node in lab.settings.masters),
        cordoned=frozenset(cordoned),
        **more,
    )


def check(lab, since, before, restarted, wanted):
    """Since a moment, exactly ``restarted`` have restarted, once each; all is as it was and nothing is left.

    ``before`` are the boot IDs of before then; ``wanted`` is the Plan that was to be kept to.
    """
    after = boot_ids(lab)
    assert sorted(name for name in after if after[name] != before[name]) == sorted(restarted)
    assert find_violations(read_deeds(lab.audit_events(since)), wanted) == []
    assert [name for name in after if is_cordoned(lab, name)] == sorted(wanted.cordoned)
    eventually(lambda: not exists(lab, f"/api/v1/namespaces/{RESTART_NAMESPACE}"))


def read_record(lab):
    """The record of node restarts in the cluster, None when there is none."""
    try:
        return json.loads(lab.api.get(RECORD)["data"]["nodes.json"])
    except ApiError as error:
        if error.status != 404:
            raise
    except KeyError:
        pass
    return None


class Members:
    """Counts the etcd members that live, all the time; ``fewest`` is how few they were at any time."""

    def __init__(self, lab):
        self.lab, self.fewest, self.looks = lab, len(lab.settings.masters), 0

    def __enter__(self):
        pki = self.lab.settings.pki
        paths = [pki / "etcd-ca.crt", pki / "apiserver-etcd-client.crt", pki / "apiserver-etcd-client.key"]
        addresses = [master.address for master in self.lab.settings.masters]
        command = ["exec", "hub", sys.executable, "-c", ASK_MEMBERS, *map(str, paths), *addresses]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab", *command], env=self.lab.environment, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_details):
        assert self.process.poll() is None, "nobody counted the members"
        self.process.terminate()
        counts = [int(line) for line in self.process.communicate()[0].splitlines()]
        self.looks, self.fewest = len(counts), min(counts)
