# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Pods without a controller, which the run itself creates anew from their own specification. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._errors import CollectionError
from .._model import MANAGED_BY, KeptPod, Owner, OwnerFacts, PodFacts, pod_facts
from .pods import NamespacePlan, count_expected, count_ready, is_platform, runs_to_completion

#: What a Secret may hold (kubernetes, pkg/apis/core MaxSecretSize).
MAX_BYTES = 1024 * 1024
#: Of the Secrets in the run's namespace, those that keep pods.
LABELS = {**MANAGED_BY, "app.kubernetes.io/component": "bare-pod"}
_KEY = "pod.json"
_SCHEMA = 1

#: What admission and networks note in a pod, and in the next one again; some of it nobody else may write.
_NOTED = frozenset(
    {
        "cni.projectcalico.org/containerID",
        "cni.projectcalico.org/podIP",
        "cni.projectcalico.org/podIPs",
        "k8s.ovn.org/pod-networks",
        "k8s.v1.cni.cncf.io/network-status",
        "k8s.v1.cni.cncf.io/networks-status",
        "kubernetes.io/limit-ranger",
        "openshift.io/scc",
        "security.openshift.io/validated-scc-subject-type",
    }
)
#: What admission works out from other fields, and refuses where it comes to another result by now, and what may not be
#: set in a new pod.
_WORKED_OUT = frozenset({"ephemeralContainers", "overhead", "preemptionPolicy", "priority", "serviceAccount"})
_DEFAULT_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]


def can_be_created_anew(pod: PodFacts) -> bool:
    """Return whether nobody else sees to it that there is such a pod, and it is meant to run for ever."""
    is_running = not pod.is_static and pod.phase not in ("Succeeded", "Failed")
    return pod.is_bare and is_running and not runs_to_completion(pod) and not is_platform(pod.namespace)


def take_into_care(pod: PodFacts) -> PodFacts:
    """Return ``pod`` with an owner of its own, which only this run knows, so that its successor is waited for as others are.

    Its successor has the same name, and so the same owner.
    """
    owner = Owner(api_version="v1", kind="Pod", name=pod.name, uid=f"{pod.namespace}/{pod.name}")
    return replace(pod, owner=owner)


def is_in_care(pod: PodFacts) -> bool:
    return pod.is_bare and pod.owner is not None


def build_successor(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a pod like ``pod``, as its author may have written it.

    It has nothing that the cluster has added and would add again: the status, what tells the pod from others, the node that
    the scheduler chose, the volume with the service account's token, default tolerations, the account's pull secrets.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    kept = {key: value for key, value in spec.items() if key not in _WORKED_OUT}
    if not _is_pinned(metadata):
        kept.pop("nodeName", None)
    injected = {v["name"] for v in spec.get("volumes") or () if _is_injected(v, spec)}
    kept["volumes"] = [v for v in spec.get("volumes") or () if v["name"] not in injected]
    for key in ("initContainers", "containers"):
        kept[key] = [_unmount(container, injected) for container in spec.get(key) or ()]
    kept["tolerations"] = [t for t in spec.get("tolerations") or () if t not in _DEFAULT_TOLERATIONS]
    pull_secret = re.compile(rf"{re.escape(spec.get('serviceAccountName') or 'default')}-dockercfg-\w{{5}}")
    kept["imagePullSecrets"] = [
        s for s in spec.get("imagePullSecrets") or () if not pull_secret.fullmatch(s.get("name") or "")
    ]
    own = {key: metadata[key] for key in ("name", "namespace", "labels", "finalizers") if metadata.get(key)}
    notes = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _NOTED}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**own, **({"annotations": notes} if notes else {})},
        "spec": {key: value for key, value in kept.items() if value != []},
    }


def _is_pinned(metadata: Mapping[str, Any]) -> bool:
    """Whether the pod's author chose its node: the scheduler's binding is no write of a field, so it is not noted as one."""
    entries = ((entry.get("fieldsV1") or {}).get("f:spec") or {} for entry in metadata.get("managedFields") or ())
    return any("f:nodeName" in entry for entry in entries)


def _is_injected(volume: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether the service account admission has put the volume there, under a name that it made up."""
    is_its_own = volume["name"].startswith("kube-api-access-") and "projected" in volume
    return is_its_own and spec.get("automountServiceAccountToken") is not False


def _unmount(container: Mapping[str, Any], volumes: Collection[str]) -> dict[str, Any]:
    mounts = [m for m in container.get("volumeMounts") or () if m["name"] not in volumes]
    rest = {key: value for key, value in container.items() if key != "volumeMounts"}
    return {**rest, **({"volumeMounts": mounts} if mounts else {})}


def find_objection(kept: KeptPod, pod: Mapping[str, Any], trial: Mapping[str, Any] | None) -> str:
    """Return why ``pod`` must not go; empty for nothing. ``trial`` is what admission would make of its successor, None where
    nothing can tell before."""
    size = len(_dump(kept))
    if size > MAX_BYTES:
        return f"its specification of {size} bytes is too large to be kept in a Secret, which takes {MAX_BYTES}"
    if trial is not None and pod_facts(pod).has_token and not pod_facts(trial).has_token:
        return "a new one would be given no service account token"
    return ""


def name_secret(uid: str) -> str:
    """Return the name of the Secret that keeps the pod with this UID."""
    return f"bare-pod-{uid}"


def dump_kept(kept: KeptPod) -> dict[str, Any]:
    """Return the Secret that keeps a pod: its environment may hold what is secret."""
    metadata = {"name": name_secret(kept.uid), "labels": LABELS}
    data = {_KEY: base64.b64encode(_dump(kept)).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


def _dump(kept: KeptPod) -> bytes:
    document = {"schema": _SCHEMA, "uid": kept.uid, "was_ready": kept.was_ready, "manifest": kept.manifest}
    return json.dumps(document).encode()


def parse_kept(secret: Mapping[str, Any]) -> KeptPod:
    """Return the pod that a Secret keeps. Raises CollectionError for one that can't be understood."""
    metadata = secret["metadata"]
    try:
        document = json.loads(base64.b64decode(secret["data"][_KEY]))
        if document["schema"] != _SCHEMA:
            raise ValueError
        return KeptPod(
            uid=document["uid"],
            was_ready=document["was_ready"],
            manifest=document["manifest"],
            secret_uid=metadata["uid"],
            is_earlier=True,
        )
    except (KeyError, TypeError, ValueError):
        raise CollectionError(
            f"The Secret {metadata['namespace']}/{metadata['name']}, which keeps a pod that an earlier run has deleted, can't be "
            "understood; it may be of a newer version of this collection. Look at it, and delete it when the pod stands."
        ) from None


def is_missing(kept: KeptPod, found: PodFacts | None) -> bool:
    """Return whether a kept pod is gone, or on its way out, and has no successor; ``found`` is the one of its name now."""
    return found is None or (found.uid == kept.uid and found.is_terminating)


def add_missing(plan: NamespacePlan, kept: Iterable[KeptPod]) -> NamespacePlan:
    """Return ``plan`` with those of ``kept`` that are in its namespace; they are missing."""
    missing = {k.uid: k for k in kept if k.namespace == plan.rank.name and not plan.rank.is_terminating}
    gone = tuple(
        take_into_care(PodFacts(namespace=k.namespace, name=k.name, uid=k.uid, is_bare=True)) for k in missing.values()
    )
    expected = {g.owner.uid: 1 for g in gone if g.owner and missing[g.uid].was_ready}
    return replace(plan, targets=plan.targets + gone, kept=missing, ready_before={**plan.ready_before, **expected})


def leave_out(plan: NamespacePlan, objections: Mapping[str, str]) -> NamespacePlan:
    """Return ``plan`` without the pods, by UID, that could not be created anew, which it names with the words for it."""
    refused = [t for t in plan.targets if t.uid in objections]
    if not refused:
        return plan
    return replace(
        plan,
        targets=tuple(t for t in plan.targets if t.uid not in objections),
        reported=(*plan.reported, *((t, f"NotAdmitted: {objections[t.uid]}") for t in refused)),
        left={**plan.left, "NotAdmitted": len(refused)},
    )


def choose_bare(
    chosen: Sequence[PodFacts],
    targets: Iterable[PodFacts],
    pods: Iterable[PodFacts],
    owners: Mapping[str, OwnerFacts],
    ready_before: Mapping[str, int],
) -> list[PodFacts]:
    """Return ``chosen`` with one pod in our care at most, and none while the successor of another is awaited.

    Nobody tells how many of them may be down at once; they may stand for each other.
    """
    ready = count_ready(pods)
    cared_for = {t.owner.uid for t in targets if t.owner and is_in_care(t)}
    is_down = any(ready.get(uid, 0) < count_expected(uid, owners, ready_before) for uid in cared_for)
    mine = [p for p in chosen if is_in_care(p)]
    return [p for p in chosen if not is_in_care(p)] + ([] if is_down else mine[:1])
