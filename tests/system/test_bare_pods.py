# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods without a controller on real kubelets: created anew as they were, and not lost by a kill in between."""

from __future__ import annotations

import copy

import pytest
from interruptions import now, play
from lab import apply
from labs import eventually
from pod_audit import find_violations, plan_of, read_deeds
from pod_runs import container, workload

pytestmark = pytest.mark.slow

NAMESPACE = "renewal-a"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SECRETS = "/api/v1/namespaces/bound-tokens/secrets"
BARE = {"recreate_bare_pods": True, "allow_disruption": True}


def bare_pod(name, *, labels=None, **spec):
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container()], **spec}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels or {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def token_volume():
    source = {"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 7200}}
    return {"name": "vault", "projected": {"sources": [source]}}


def own_part(pod):
    """What must be the same in a pod and its successor: all but what is made up or chosen for each."""
    pod = copy.deepcopy(pod)
    spec, metadata = pod["spec"], pod["metadata"]
    names = {v["name"]: "injected" for v in spec["volumes"] if v["name"].startswith("kube-api-access-")}
    for thing in (*spec["volumes"], *(m for c in spec["containers"] for m in c.get("volumeMounts", ()))):
        thing["name"] = names.get(thing["name"], thing["name"])
    if metadata["name"] != "pinned":
        del spec["nodeName"]
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != "kubernetes.io/limit-ranger"}
    return metadata["name"], metadata["labels"], notes, spec


def of_name(pods):
    return {p["metadata"]["name"]: p for p in pods}


def kept(lab):
    return [s["metadata"]["name"] for s in lab.api.items(SECRETS) if s["metadata"]["name"].startswith("bare-pod-")]


def test_they_are_created_anew_as_they_were_and_what_need_not_or_must_not_go_stays(ground):
    mounted = {
        **container(),
        "volumeMounts": [{"name": "vault", "mountPath": "/vault"}],
        "env": [{"name": "A", "value": "b"}],
    }
    default = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "1m"}}
    apply.apply_objects(
        ground.lab.settings, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    )
    ranges = {"metadata": {"name": "defaults"}, "spec": {"limits": [default]}}
    ground.lab.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/limitranges", ranges)
    ground.fill(
        workload("Deployment", "web", NAMESPACE, 2),
        bare_pod("plain"),
        bare_pod("vault", volumes=[token_volume()], containers=[mounted], automountServiceAccountToken=False),
        bare_pod("pinned", nodeName="worker-0", priorityClassName="system-cluster-critical"),
        bare_pod("tokenless", automountServiceAccountToken=False),
        bare_pod("once", restartPolicy="OnFailure"),
    )
    before = of_name(ground.pods())
    # from now on a pod like this one would not be let in any more
    ground.fill(bare_pod("sinner", hostNetwork=True))
    ground.lab.api.merge(
        f"/api/v1/namespaces/{NAMESPACE}", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    )
    planned = ground.renew(check_mode=True, **BARE)
    assert [f["check"] for f in planned["findings"]] == ["BarePods"], planned["findings"]
    result = ground.renew(**BARE)
    found = {p["name"]: (p["outcome"], (p["reason"] or "").partition(":")[0]) for p in result["pods"]}
    bare = {"plain", "vault", "pinned"}
    assert {n: found[n] for n in (*bare, "sinner", "once")} == {
        **dict.fromkeys(bare, ("renewed", "")),
        "sinner": ("left", "NotAdmitted"),
        "once": ("left", "NoOwner"),
    }
    words = next(p["reason"] for p in result["pods"] if p["name"] == "sinner")
    assert 'violates PodSecurity "baseline:latest"' in words
    assert "hostNetwork" in words or "host namespaces" in words
    after = of_name(ground.pods())
    for name in bare:
        assert after[name]["metadata"]["uid"] != before[name]["metadata"]["uid"]
        assert own_part(after[name]) == own_part(before[name])
    for name in ("tokenless", "once"):
        assert after[name]["metadata"]["uid"] == before[name]["metadata"]["uid"]
    assert kept(ground.lab) == []
    assert not ground.renew(**BARE)["changed"]


def test_a_run_that_is_killed_between_deletion_and_creation_loses_none(ground):
    slow = {**container(), "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}
    ground.fill(bare_pod("slow", containers=[slow], terminationGracePeriodSeconds=8), bare_pod("other"))
    lab, begin = ground.lab, now()
    planned = ground.renew(check_mode=True, **BARE)["pods"]
    before = of_name(ground.pods())
    given = {f"pod_restart_{name}": value for name, value in BARE.items()}
    given |= {
        "pod_restart_namespaces": ground.names,
        "pod_restart_started_before": ground.moment,
        "pod_restart_wait_sleep": 1,
    }
    run = play(lab, "restart_pods", **given)
    eventually(lambda: of_name(ground.pods())["slow"]["metadata"].get("deletionTimestamp"))
    run.kill("all", is_patient=True)
    eventually(lambda: "slow" not in of_name(ground.pods()))
    assert kept(lab) == [f"bare-pod-{before['slow']['metadata']['uid']}"]
    shown = play(lab, "restart_pods", "--check", **given)
    assert "create: 1" in shown.finish()
    shown.log.unlink()
    run.log.unlink()
    run = play(lab, "restart_pods", **given)
    run.finish()
    run.log.unlink()
    after = of_name(ground.pods())
    assert set(after) == {"slow", "other"}
    for name in after:
        assert after[name]["metadata"]["uid"] != before[name]["metadata"]["uid"]
        assert own_part(after[name]) == own_part(before[name])
    assert kept(lab) == []
    deeds = read_deeds(lab.audit_events(begin), ground.names)
    assert find_violations(deeds, plan_of(planned, after.values())) == []
