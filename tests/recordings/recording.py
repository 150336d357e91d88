# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the recording of the real operator back into API objects."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).resolve().parent / "operator-recording.jsonl"
CONDITIONS = (
    "NodeInstallerProgressing",
    "NodeInstallerDegraded",
    "StaticPodsAvailable",
    "RevisionControllerDegraded",
    "ConfigObservationDegraded",
    "StaticPodsDegraded",
    "TargetConfigControllerDegraded",
)
#: When the first rollout in it was over, and when the issuer was edited after that.
ALL_DONE = datetime.fromisoformat("2026-11-22T07:55:32.037+00:00")
EDIT = datetime.fromisoformat("2026-11-22T07:55:32.594+00:00")


class State(NamedTuple):
    """What the API showed from a moment on; ``configs`` are those of the ConfigMaps config-N."""

    moment: datetime
    authentication: dict
    kube_apiserver: dict
    configs: dict

    @property
    def config(self):
        """The configuration of the latest revision."""
        return self.configs.get(self.kube_apiserver["status"]["latestAvailableRevision"])


def kube_apiserver_from(record, version):
    """The KubeAPIServer object of which the recording kept the watched fields."""
    arguments = {"service-account-issuer": record["observedIssuers"]} if record["observedIssuers"] else {}
    return {
        "metadata": {"name": "cluster", "resourceVersion": str(version)},
        "spec": {"managementState": "Managed", "observedConfig": {"apiServerArguments": arguments}},
        "status": {
            "serviceAccountIssuers": record["serviceAccountIssuers"],
            "latestAvailableRevision": record["latestAvailableRevision"],
            "nodeStatuses": record["nodeStatuses"],
            "conditions": [{"type": name, **record[name]} for name in CONDITIONS if record.get(name)],
        },
    }


def replay():
    """Yield each State that the recording shows.

    The recording kept no ConfigMaps. A revision's configuration is what the operator had observed when it began to
    make that revision, which an event tells.
    """
    authentication, kube_apiserver, configs = {"spec": {}}, None, {}
    for number, line in enumerate(PATH.read_text(encoding="utf-8").splitlines()):
        record = json.loads(line)
        if record.get("kind") == "Authentication":
            authentication = {"spec": {"serviceAccountIssuer": record["serviceAccountIssuer"]}}
        elif record.get("kind") == "Event":
            begun = re.match(r"new revision (\d+) triggered", record["message"])
            if record["reason"] == "StartingNewRevision" and begun and kube_apiserver:
                configs = {**configs, int(begun[1]): kube_apiserver["spec"]["observedConfig"]}
            continue
        elif "kind" not in record:
            kube_apiserver = kube_apiserver_from(record, number)
        else:
            continue
        if kube_apiserver:
            yield State(datetime.fromisoformat(record["t"]), authentication, kube_apiserver, configs)
