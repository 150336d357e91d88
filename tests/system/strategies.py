# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations by a strategy, and what the audit says of pods of every kind, held against what their programs hold."""

from __future__ import annotations

import contextlib
import json
import subprocess

from issuers import at_rest
from labs import eventually
from modules import run_module
from node_runs import make_whole
from token_pods import HELD, IMAGE, issuer_in, read_in_pod, specs


def rotate(lab, issuer, *arguments, timeout=900, **variables):
    """The exit status and the output, in one line, as people read it."""
    given = {
        "rotation_issuer": issuer,
        "service_account_issuer_documents": "skip",
        "service_account_issuer_wait_sleep": 1,
        **variables,
    }
    command = ["ansible-playbook", "bound_tokens.openshift.rotate", "-e", json.dumps(given), *arguments]
    done = subprocess.run(command, env=lab.environment, capture_output=True, text=True, check=False, timeout=timeout)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def deployment(name, spec):
    """One with a single pod of this specification."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def pods(lab, namespace):
    """The UIDs of the running pods, by the names of their workloads."""
    found = lab.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    running = [
        p["metadata"]
        for p in found
        if p["status"].get("phase") == "Running" and "deletionTimestamp" not in p["metadata"]
    ]
    return {(m["labels"].get("app"), m["uid"]) for m in running}


@contextlib.contextmanager
def running_kinds(lab, names=tuple(HELD)):
    """A namespace with a Deployment of each of these kinds of pods (see token_pods); the issuer is at rest."""
    make_whole(lab)
    at_rest(lab)
    lab.api.create_missing("/api/v1/namespaces", {"metadata": {"name": "kinds"}})
    known = specs(lab, "kinds")
    for name in names:
        lab.api.create_missing("/apis/apps/v1/namespaces/kinds/deployments", deployment(name, known[name]))
    try:
        eventually(lambda: len(pods(lab, "kinds")) == len(names))
        yield
    finally:
        lab.api.request("DELETE", "/api/v1/namespaces/kinds")
        eventually(lambda: "kinds" not in {n["metadata"]["name"] for n in lab.api.items("/api/v1/namespaces")})
        make_whole(lab)


def read_held(lab):
    """What the programs hold, by the names of their workloads."""
    return {
        name: eventually(lambda name=name, uid=uid: next(read_in_pod(uid, HELD[name]), None), timeout=60)
        for name, uid in pods(lab, "kinds")
    }


def audit(lab, **more):
    """What the audit says of the pods, by the names of their workloads."""
    result = run_module("token_holders_info", kubeconfig=lab.kubeconfig, all_pods=True, image=IMAGE, **more)
    found = result["token_holders"]
    assert found["problems"] == [], result["explanation"]
    return {p["name"].rsplit("-", 2)[0]: p for p in found["pods"] if p["namespace"] == "kinds"}


def compare_claims(lab, issuer, former):
    """Hold the audit's verdict about each pod against the claims of what its program holds; return the verdicts."""
    before = read_held(lab)
    mine, by_spec = audit(lab, verify=["files", "use"]), audit(lab)
    after = read_held(lab)
    assert mine.keys() == by_spec.keys() == before.keys() == after.keys()
    for name, pod in [*mine.items(), *by_spec.items()]:
        held = {issuer_in(before[name]), issuer_in(after[name])}
        if pod is by_spec[name] and (pod["may_be_cached"] or pod["verdict"] == "file_renews"):
            continue  # a specification tells only by when a file is rewritten, and not whether its program reads it again
        if pod["verdict"] == "renewed":
            assert held == {issuer}, pod
        elif pod["verdict"] != "unknown":
            assert pod["verdict"] in ("old_until", "old_until_restarted", "file_renews"), pod
            assert former in held, pod  # a kubelet may rewrite the file meanwhile
    return {name: pod["verdict"] for name, pod in mine.items()}
