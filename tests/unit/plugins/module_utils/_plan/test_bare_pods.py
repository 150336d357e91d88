# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import CollectionError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import KeptPod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.bare_pods import (
    MAX_BYTES,
    build_successor,
    dump_kept,
    find_objection,
    parse_kept,
)

TOKEN = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
AUTHORED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "lonely",
        "namespace": "web",
        "labels": {"app": "lonely"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    },
    "spec": {
        "serviceAccountName": "robot",
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "mine"}],
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "initContainers": [{"name": "first", "image": "i"}],
        "containers": [
            {
                "name": "main",
                "image": "i",
                "env": [{"name": "A", "value": "secret"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
    },
}


def admitted(**more):
    """The pod as the cluster shows it once it runs."""
    pod = copy.deepcopy(AUTHORED)
    pod["metadata"].update(
        uid="u1",
        resourceVersion="7",
        generation=1,
        creationTimestamp="2026-11-22T08:00:00Z",
        generateName="lonely-",
        managedFields=[{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:containers": {}}}}, {"manager": "kubelet"}],
    )
    pod["metadata"]["annotations"].update(
        {"openshift.io/scc": "restricted-v2", "k8s.ovn.org/pod-networks": "{}", "kubernetes.io/limit-ranger": "x"}
    )
    spec = pod["spec"]
    spec.update(
        nodeName="worker-1",
        priority=100,
        preemptionPolicy="PreemptLowerPriority",
        serviceAccount="robot",
        overhead={"cpu": "1"},
        ephemeralContainers=[{"name": "debug"}],
    )
    spec["imagePullSecrets"].append({"name": "robot-dockercfg-x2x7k"})
    spec["tolerations"] += [
        {"key": f"node.kubernetes.io/{k}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for k in ("not-ready", "unreachable")
    ]
    spec["volumes"].append({"name": "kube-api-access-x2x7k", "projected": {"sources": [TOKEN]}})
    for container in (*spec["initContainers"], *spec["containers"]):
        container.setdefault("volumeMounts", []).append({"name": "kube-api-access-x2x7k", "mountPath": MOUNT})
    pod["status"] = {"phase": "Running"}
    spec.update(more)
    return pod


def test_a_successor_has_what_the_author_wrote_and_nothing_that_the_cluster_adds_again():
    pod = admitted()
    before = copy.deepcopy(pod)
    assert build_successor(pod) == AUTHORED
    assert pod == before


def test_a_pod_of_few_words_stays_one():
    pod = {"metadata": {"name": "x", "namespace": "web", "uid": "1"}, "spec": {"containers": [{"name": "main"}]}}
    assert build_successor(pod)["spec"] == {"containers": [{"name": "main"}]}
    assert build_successor(pod)["metadata"] == {"name": "x", "namespace": "web"}


def test_a_node_that_the_author_chose_stays():
    pod = admitted()
    pod["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:nodeName"] = {}
    assert build_successor(pod)["spec"]["nodeName"] == "worker-1"


def test_a_token_volume_that_admission_would_not_add_stays():
    spec = build_successor(admitted(automountServiceAccountToken=False))["spec"]
    assert [v["name"] for v in spec["volumes"]] == ["data", "kube-api-access-x2x7k"]
    assert spec["containers"][0]["volumeMounts"][1]["mountPath"] == MOUNT
    own = {"name": "vault", "projected": {"sources": [TOKEN]}}
    assert build_successor(admitted(volumes=[own]))["spec"]["volumes"] == [own]


def keep(pod):
    return KeptPod(uid="u1", manifest=build_successor(pod), was_ready=True)


def test_what_is_kept_is_found_again_and_only_a_secret_holds_it():
    secret = dump_kept(keep(admitted()))
    assert secret["kind"] == "Secret"
    secret["metadata"]["uid"] = "s1"
    found = parse_kept(secret)
    assert (found.uid, found.was_ready, found.secret_uid, found.is_earlier) == ("u1", True, "s1", True)
    assert found.manifest == AUTHORED
    assert (found.namespace, found.name) == ("web", "lonely")


@pytest.mark.parametrize("data", [{}, {"pod.json": "e30="}, {"pod.json": "eyJzY2hlbWEiOiAyfQ=="}, {"pod.json": "!"}])
def test_what_can_not_be_understood_is_told(data):
    secret = {"metadata": {"name": "bare-pod-1", "namespace": "bound-tokens", "uid": "s1"}, "data": data}
    with pytest.raises(CollectionError, match="The Secret bound-tokens/bare-pod-1, which keeps a pod"):
        parse_kept(secret)


def test_a_pod_that_is_too_large_to_be_kept_or_would_get_no_token_must_not_go():
    pod = admitted()
    assert find_objection(keep(pod), pod, admitted()) == ""
    assert find_objection(keep(pod), pod, None) == ""
    tokenless = {**AUTHORED, "metadata": {**AUTHORED["metadata"], "uid": "u2"}}
    assert find_objection(keep(pod), pod, tokenless) == "a new one would be given no service account token"
    assert find_objection(keep(tokenless), tokenless, tokenless) == ""
    pod["spec"]["containers"][0]["env"][0]["value"] = "x" * MAX_BYTES
    assert find_objection(keep(pod), pod, pod).startswith("its specification of 1049")
