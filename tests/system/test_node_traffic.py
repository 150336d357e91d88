# SPDX-License-Identifier: GPL-3.0-or-later
"""A workload that leaves well is asked without a pause while the nodes under it restart: not one request fails."""

from __future__ import annotations

import pytest
from lab import apply, traffic
from node_runs import restart

pytestmark = pytest.mark.slow

NAMESPACE = "default"
WORKERS = ["worker-0", "worker-1"]
#: Seconds until a new pod is Ready: longer than an old one takes to leave, so that all at once would be an outage.
START_SECONDS = 8


def workload(name, *, has_budget):
    objects = [o for o in traffic.workload(NAMESPACE, name) if has_budget or o["kind"] != "PodDisruptionBudget"]
    for container in objects[0]["spec"]["template"]["spec"]["containers"]:
        container["readinessProbe"]["initialDelaySeconds"] = START_SECONDS
    return objects


@pytest.mark.parametrize("has_budget", [True, False], ids=["budget", "alone"])
def test_no_request_fails_while_workers_restart(lab, has_budget):
    name = "guarded" if has_budget else "unguarded"
    apply.apply_objects(lab.settings, workload(name, has_budget=has_budget))
    try:
        with traffic.Traffic(lab.settings, NAMESPACE, name) as asking:
            result = restart(lab, *WORKERS)
    finally:
        lab.api.request("DELETE", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
    outcomes = {n["name"]: n["outcome"] for n in result["nodes"]}
    assert outcomes == dict.fromkeys(WORKERS, "done"), result
    assert sum(n["evicted"] for n in result["nodes"]) >= 3
    assert asking.result.failures == []
    assert min(asking.result.answers.values()) > 100
