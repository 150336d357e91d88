# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods to be renewed on a lab, and what was done to them."""

from __future__ import annotations

import time

from interruptions import now
from lab import apply, images
from labs import USER_AGENT, eventually
from modules import run_module
from pod_audit import find_violations, plan_of, read_deeds, read_first_ready, read_limits

APPS = "/apis/apps/v1/namespaces"


def container():
    return {"name": "main", "image": images.SHELL, "imagePullPolicy": "Never", "command": ["sleep", "1000000"]}


def workload(kind, name, namespace, replicas=None, *, template=None, **spec):
    labels = {"app": name}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container()], **(template or {})}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}, **spec}
    if replicas is not None:
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def budget(name, namespace, minimum):
    spec = {"minAvailable": minimum, "selector": {"matchLabels": {"app": name}}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def is_settled(pod):
    """Whether it is Ready, or has done its work."""
    return pod["status"].get("phase") == "Succeeded" or any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ())
    )


class Ground:
    """Namespaces of this test, and what was done in them since they were whole."""

    def __init__(self, lab, names):
        self.lab, self.names, self.since, self.moment = lab, names, "", ""

    def fill(self, *objects):
        namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in self.names]
        apply.apply_objects(self.lab.settings, [*namespaces, *objects])
        eventually(lambda: all(map(is_settled, self.pods())))
        self.moment = max(p["status"]["startTime"] for p in self.pods())
        # those that start in the same second count as old
        while now() <= self.moment[:-1] + ".999999Z":
            time.sleep(0.1)
        self.since = now()

    def pods(self):
        return [p for n in self.names for p in self.lab.api.items(f"/api/v1/namespaces/{n}/pods")]

    def uids(self):
        return {p["metadata"]["uid"] for p in self.pods()}

    def renew(self, *, is_checked=True, **options):
        """Run the module; what a run that came to its end did is held against its plan."""
        begin, limits = now(), read_limits(self.lab, self.names)
        given = {
            "wait_sleep": 1,
            "wait_timeout": 120,
            "namespaces": self.names,
            "started_before": self.moment,
            **options,
        }
        result = run_module("pod_restart", kubeconfig=self.lab.kubeconfig, **given)
        if is_checked and "msg" not in result and not given.get("check_mode"):
            deeds = read_deeds(self.lab.audit_events(begin), self.names)
            first = read_first_ready(self.lab.audit_events(begin), deeds)
            plan = plan_of(
                result["pods"],
                self.pods(),
                limits=limits,
                first_ready=first,
                most_down=given.get("max_pods") or 0,
                most_namespaces=given.get("max_namespaces") or 1,
            )
            wrong = find_violations(deeds, plan)
            assert not wrong, wrong
        return result

    def deeds(self):
        """(moment, namespace, verb, name) of everything that was asked for and granted, in order."""
        found = []
        for event in self.lab.audit_events(self.since):
            about = event.get("objectRef") or {}
            is_eviction = about.get("subresource") == "eviction"
            is_rollout = event["verb"] == "patch" and about.get("apiGroup") == "apps" and "subresource" not in about
            by_us = event["userAgent"] == USER_AGENT
            if about.get("namespace") in self.names and by_us and event["responseStatus"]["code"] < 300:
                verb = "evict" if is_eviction else "rollout" if is_rollout else event["verb"]
                if verb in ("evict", "rollout", "delete"):
                    found.append((event["requestReceivedTimestamp"], about["namespace"], verb, about["name"]))
        return sorted(found)
