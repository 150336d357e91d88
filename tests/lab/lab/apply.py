# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies objects from a file and waits until the workloads among them are whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from . import gates
from .api import Api, ApiError
from .progress import Progress
from .settings import Settings

Object = dict[str, Any]

#: Collections of the kinds that tests and the demonstration need.
_COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}
_PATIENCE = 120.0


def apply_file(settings: Settings, path: Path, say: Progress) -> None:
    """Every object of the List in the file exists, and the pods of its workloads are Ready."""
    documents = yaml.safe_load(path.read_text(encoding="utf-8"))["items"]
    apply_objects(settings, documents)
    say(f"{len(documents)} objects of {path.name} are applied, their pods are Ready")


def apply_objects(settings: Settings, documents: Sequence[Object]) -> None:
    """Likewise for objects that are at hand."""
    api = Api(settings)
    for document in documents:
        # a namespace's default service account comes a moment later, and pods are refused until then
        gates.wait(f"{document['kind']} {document['metadata']['name']}", partial(_apply, api, document), 30, _alive)
    gates.wait("workloads", lambda: list(_find_missing(api, documents)), _PATIENCE, _alive)


def _apply(api: Api, document: Object) -> list[str]:
    try:
        api.apply(_path(document), document)
    except ApiError as error:
        return [str(error)]
    return []


def _path(document: Object) -> str:
    metadata = document["metadata"]
    return f"{_COLLECTIONS[document['kind']].format(metadata.get('namespace'))}/{metadata['name']}"


def _find_missing(api: Api, documents: Iterable[Object]) -> Iterable[str]:
    for document in documents:
        if document["kind"] not in {"DaemonSet", "Deployment", "StatefulSet"}:
            continue
        found = api.get(_path(document))
        status, name = found.get("status", {}), f"{document['kind']} {document['metadata']['name']}"
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            yield f"{name}: not seen by its controller"
        elif document["kind"] == "DaemonSet":
            if not 0 < status.get("desiredNumberScheduled", 0) == status.get("numberReady", 0):
                yield f"{name}: {status.get('numberReady', 0)} of {status.get('desiredNumberScheduled', 0)} pods"
        elif status.get("readyReplicas", 0) != found["spec"]["replicas"]:
            yield f"{name}: {status.get('readyReplicas', 0)} of {found['spec']['replicas']} pods"


def _alive() -> None:
    """Nothing to watch: the lab's own supervisor is not ours."""
