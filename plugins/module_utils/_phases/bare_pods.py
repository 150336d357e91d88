# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Pods without a controller: kept in the cluster before they go, and created anew when they are gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from .._client.cluster import Cluster
from .._client.kinds import describe_target
from .._effects import create_pod, provide_own_namespace, try_out_pod
from .._errors import ApiError, CollectionError
from .._facts import require_own_namespace
from .._model import KeptPod, PodFacts, pod_facts
from .._parallel import side_by_side
from .._plan.bare_pods import LABELS, build_successor, dump_kept, find_objection, name_secret, parse_kept
from .._plan.projected_token import build_trial, is_objection
from .._plan.run_record import build_run_namespace


def read_kept(cluster: Cluster, namespace: str, *, is_required: bool) -> list[KeptPod]:
    """Return the pods that earlier runs have kept in ``namespace``; none where they may not be read and need not be."""
    selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
    try:
        secrets = list(cluster.list("Secret", namespace, label_selector=selector))
    except ApiError as error:
        if error.status != 403 or is_required:
            raise
        return []
    if secrets or is_required:
        require_own_namespace(cluster, namespace)
    return [parse_kept(secret) for secret in secrets]


def read_namesake(cluster: Cluster, kept: KeptPod) -> PodFacts | None:
    """Return the pod that has the name of a kept one now."""
    found = cluster.get("Pod", kept.name, kept.namespace)
    return pod_facts(found) if found else None


def find_objections(cluster: Cluster, pods: Iterable[PodFacts]) -> dict[str, str]:
    """Return why pods could not be created anew, by their UIDs, in the server's words; nothing is changed."""

    def try_out(pod: PodFacts) -> str:
        found = _read(cluster, pod)
        return _try_out(cluster, found, _prepare(found)) if found else ""

    pods = list(pods)
    words = side_by_side([partial(try_out, pod) for pod in pods])
    return {pod.uid: objection for pod, objection in zip(pods, words, strict=True) if objection}


def _read(cluster: Cluster, pod: PodFacts) -> dict[str, Any] | None:
    """Return exactly this pod, None when it is gone or on its way out."""
    found = cluster.get("Pod", pod.name, pod.namespace)
    is_same = found is not None and found["metadata"]["uid"] == pod.uid
    return found if found and is_same and not found["metadata"].get("deletionTimestamp") else None


def _prepare(pod: Mapping[str, Any]) -> KeptPod:
    return KeptPod(uid=pod["metadata"]["uid"], manifest=build_successor(pod), was_ready=pod_facts(pod).is_ready)


def _try_out(cluster: Cluster, pod: Mapping[str, Any], kept: KeptPod) -> str:
    """Return why ``pod`` must not go, since it could not be created anew from what is ``kept``; empty for nothing."""
    trial = None
    try:
        trial = try_out_pod(cluster, build_trial(kept.manifest), kept.namespace)
    except ApiError as error:
        if error.is_transient or error.is_unauthorized or (error.status == 403 and " cannot " in error.words):
            raise
        if is_objection(error.status, error.words):
            return error.words
    return find_objection(kept, pod, trial)


def forget(cluster: Cluster, namespace: str, kept: KeptPod) -> None:
    """Remove the Secret of a kept pod."""
    try:
        cluster.delete("Secret", name_secret(kept.uid), namespace, uid=kept.secret_uid)
    except ApiError as error:
        if error.status not in (404, 409):
            raise


@dataclass(slots=True, kw_only=True)
class BarePods:
    """Those of one namespace that are in the care of this run; Secrets in ``namespace`` keep them."""

    cluster: Cluster
    namespace: str
    say: Callable[[str], None]
    #: By UID: those that are kept, why they can't be created, those that were, and those whose successors stand.
    kept: dict[str, KeptPod] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)
    standing: set[str] = field(default_factory=set)

    def keep(self, pod: PodFacts) -> str:
        """Have ``pod`` kept as it is now, so that it may go; return why it must not go, empty when it may."""
        found = _read(self.cluster, pod)
        if found is None:
            return "it is gone, or on its way out"
        kept, known = _prepare(found), self.kept.get(pod.uid)
        if known and known.manifest == kept.manifest:
            return ""
        objection = _try_out(self.cluster, found, kept)
        if not objection:
            secret = self._write(dump_kept(kept))
            self.kept[pod.uid] = replace(kept, secret_uid=secret["metadata"]["uid"])
        return objection

    def _write(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self.cluster.create("Secret", body, self.namespace)
        except ApiError as error:
            if error.status == 404:
                provide_own_namespace(self.cluster, build_run_namespace(self.namespace))
                return self.cluster.create("Secret", body, self.namespace)
            if error.status != 409:
                raise
        return self.cluster.merge_patch("Secret", body["metadata"]["name"], {"data": body["data"]}, self.namespace)

    def create_missing(self, pods: Sequence[PodFacts], sent: Collection[str]) -> None:
        """Have those that are not among ``pods`` any more created anew, and forget those whose successors are as they were.

        ``sent`` are the UIDs that this run has sent away; one that somebody else has deleted is not ours to create. A
        successor that goes before it was Ready is created once more.
        """
        present, by_name = {p.uid for p in pods}, {p.name: p for p in pods}
        for kept in [k for uid, k in self.kept.items() if uid not in present]:
            successor = by_name.get(kept.name)
            if successor:
                self.standing.add(kept.uid)
                is_done = successor.is_ready or not kept.was_ready
            else:
                self.standing.discard(kept.uid)
                is_done = not (kept.is_earlier or kept.uid in sent) or self._create(kept)
            if is_done:
                self._forget(kept)

    def _create(self, kept: KeptPod) -> bool:
        """Create the pod; return whether there is nothing more to see to: its namespace goes, or it was not Ready before."""
        try:
            create_pod(self.cluster, kept.manifest, kept.namespace)
        except ApiError as error:
            if error.is_transient or error.is_unauthorized:
                raise
            if error.status == 404 or "being terminated" in error.words:
                return True
            if error.status != 409:  # else the next look tells who has its name
                where = describe_target("Secret", name_secret(kept.uid), self.namespace)
                self.trouble[kept.uid] = f"{error.words.rstrip('.')}; what is created is kept in {where}"
            return False
        self.standing.add(kept.uid)
        self.created.add(kept.uid)
        self.trouble.pop(kept.uid, None)
        self.say(f"{kept.namespace}: {kept.name} is created anew")
        return not kept.was_ready

    def _forget(self, kept: KeptPod) -> None:
        forget(self.cluster, self.namespace, kept)
        del self.kept[kept.uid]
        self.trouble.pop(kept.uid, None)

    def forget_untouched(self, touched: Collection[str]) -> None:
        """Forget those whose UIDs are not among ``touched``: they are still there and nobody has told them to go."""
        for kept in [k for uid, k in self.kept.items() if uid not in touched]:
            with suppress(CollectionError):
                self._forget(kept)
