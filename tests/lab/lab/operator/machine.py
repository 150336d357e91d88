# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's controllers, level-triggered: what the cluster looks like and what time it is go in, writes come out.

Every hop looks only at the snapshot. The memory is that of the timers: since when something has been needed. So a new process
picks up wherever the former one stopped, and waits anew for the hop under way.

At most one write of kubeapiservers/cluster leaves a round, so that each is made upon a fresh snapshot and each state is seen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from . import conditions, installer, issuers, manifests
from .installer import InstallerPod, NodeStatus, StaticPod, Step
from .pace import MIN_READY, Pace, Timers

Object = dict[str, Any]

ISSUER_CONTROLLER = "serviceaccountissuercontroller"
OBSERVER = "config-observer-configobserver"
TARGET_CONFIG = "target-config-controller-targetconfigcontroller"
REVISIONS = "revisioncontroller"
INSTALLER = "installer-controller"
STATUS = "status-controller-statussyncer_kube-apiserver"

KEPT_REVISIONS = 6  # the real pruner keeps the latest five that succeeded, and those in use


@dataclass
class Snapshot:
    """What the operator reads. ConfigMaps and pods are those of openshift-kube-apiserver, by name."""

    issuer: str
    api_server_url: str
    operator: Object
    cluster_operator: Object | None = None
    config_maps: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    masters: list[Object] = field(default_factory=list)

    @property
    def status(self) -> Object:
        return self.operator.get("status") or {}

    @property
    def latest(self) -> int:
        return self.status.get("latestAvailableRevision") or 0

    def data(self, config_map: str, key: str) -> str | None:
        """One key of a ConfigMap, or None without the ConfigMap."""
        found = self.config_maps.get(config_map)
        return None if found is None else (found.get("data") or {}).get(key)


@dataclass(frozen=True)
class PutStatus:
    """Replace kubeapiservers/cluster's status; refused when the object has changed since the snapshot."""

    status: Object
    note: str


@dataclass(frozen=True)
class PutSpec:
    """Replace kubeapiservers/cluster's spec; refused when the object has changed since the snapshot."""

    spec: Object
    note: str


@dataclass(frozen=True)
class PutConfigMap:
    """Create or replace; ``owner`` is another ConfigMap, which takes it along when deleted."""

    name: str
    data: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""


@dataclass(frozen=True)
class DeleteConfigMap:
    name: str


@dataclass(frozen=True)
class CreatePod:
    manifest: Object
    owner: str


@dataclass(frozen=True)
class DeletePod:
    name: str


@dataclass(frozen=True)
class PutClusterOperator:
    """Replace clusteroperators/kube-apiserver's status, creating the object if need be."""

    status: Object


@dataclass(frozen=True)
class Event:
    """In the operator's namespace, from ``kube-apiserver-operator-<component>``."""

    reason: str
    message: str
    component: str
    warning: bool = False


@dataclass(frozen=True)
class Say:
    """A line in the operator's log and nothing else."""

    text: str


Write = PutStatus | PutSpec | PutConfigMap | DeleteConfigMap | CreatePod | DeletePod | PutClusterOperator | Event | Say


@dataclass(frozen=True)
class Decision:
    """What to write now, in this order.

    ``busy``: something is under way, so look again soon; ``wake``: seconds until the next hop is due, if any is waiting.
    """

    writes: list[Write]
    busy: bool
    wake: float | None = None


@dataclass(frozen=True)
class Options:
    """``adopt``: the nodes' static pods are there already and are recorded, not rolled out.

    ``forget_former``: behave like releases that trust no former issuer (before 4.12 and its backports).
    """

    template: Mapping[str, Any]
    pace: Pace = field(default_factory=Pace)
    trust: timedelta = timedelta(hours=24)
    adopt: bool = True
    forget_former: bool = False
    version: str = "4.21.0"
    operand_version: str = "1.34.4"


class Machine:
    """All controllers together."""

    def __init__(self, options: Options, rng: random.Random) -> None:
        self.options = options
        self.timers = Timers(options.pace, rng)
        self._said = ""
        self._tidied: object = None

    def decide(self, s: Snapshot, now: float) -> Decision:
        """The writes that are due. Every hop is asked, so that all timers run; the first that has something to write wins."""
        hops: list[Callable[[Snapshot, float], list[Write]]] = [self._node_names]
        if self.options.adopt and not _adopted(s):
            hops += [self._adopt]
        else:
            hops += [self._issuers, self._observe, self._target_config, self._revision, self._installer, self._tidy]
            hops += [self._other_conditions, self._prune_revisions]
        hops += [self._cluster_operator]
        writes: list[Write] = next((found for found in [hop(s, now) for hop in hops] if found), [])
        wake = self.timers.end_round(now)
        return Decision(writes, bool(writes) or wake is not None or any(node.target for node in _nodes(s)), wake)

    # --- nodes -------------------------------------------------------------------------------------------------------------

    def _node_names(self, s: Snapshot, now: float) -> list[Write]:
        """The CRD refuses revisions in a new entry, so names come first, in a write of their own."""
        known = {entry["nodeName"] for entry in s.status.get("nodeStatuses", [])}
        new = sorted({node["metadata"]["name"] for node in s.masters} - known)
        if not new or not (self.options.adopt or s.status.get("conditions")):
            return []
        if not self.timers.due("node names", now, *new):
            return []
        entries = s.status.get("nodeStatuses", []) + [{"nodeName": name} for name in new]
        return [_put(s, f"nodes {', '.join(new)}", nodeStatuses=entries)]

    def _adopt(self, s: Snapshot, now: float) -> list[Write]:
        """Record the revision that static pods already run, with the default issuer."""
        pods = _static_pods(s)
        nodes = _nodes(s)
        found = [replace(n, current=pods[n.name].revision) if not n.current and n.name in pods else n for n in nodes]
        revision = max((n.current for n in found), default=0)
        if not revision or found == nodes or not s.api_server_url:
            what = "the Infrastructure's apiServerURL" if found != nodes else "the masters' kube-apiserver pods"
            return self._say_once(f"waiting for {what}")
        entries = s.status.get("serviceAccountIssuers") or [{"name": issuers.DEFAULT_ISSUER}]
        arguments, problem = issuers.flags(entries, s.api_server_url)
        if not problem and _observed(s) != arguments:
            return [_put_observed(s, arguments)]
        config = _config(s)
        fixed: list[Write] = [
            PutConfigMap("config", {"config.yaml": config}),
            PutConfigMap("kube-apiserver-pod", {"pod.yaml": json.dumps(self.options.template)}),
        ]
        if f"config-{revision}" not in s.config_maps:
            fixed += self._revision_config_maps(revision, config, ready=True)
        latest = max(revision, s.latest)
        said = [
            *conditions.installer_conditions(found, latest),
            *self._slow_conditions(s),
            *conditions.STEADY,
            conditions.observation_condition(problem),
        ]
        status = {
            "latestAvailableRevision": latest,
            "nodeStatuses": [node.entry() for node in found],
            "conditions": conditions.merged(s.status.get("conditions", []), said, _rfc3339(now)),
            **({} if self.options.forget_former else {"serviceAccountIssuers": entries}),
        }
        return [*fixed, _put(s, f"adopted revision {revision} of the static pods", **status)]

    # --- from the field to a revision ---------------------------------------------------------------------------------------

    def _issuers(self, s: Snapshot, now: float) -> list[Write]:
        """Authentication's field to status.serviceAccountIssuers."""
        entries = s.status.get("serviceAccountIssuers", [])
        if self.options.forget_former:
            return [_put(s, "no issuers in the status", serviceAccountIssuers=None)] if entries else []
        change = issuers.next_issuers(s.issuer, entries, datetime.fromtimestamp(now, timezone.utc), self.options.trust)
        if change is None:
            return []
        if change.refused:
            return self._say_once(f"{change.refused} ({s.issuer})")
        hop = "prune" if change.pruning else "issuers" if entries else "issuers, first"
        if not self.timers.due(hop, now, s.issuer):
            return []
        names = [entry["name"] for entry in change.entries]
        # this controller writes the whole status through its typed client, which drops everything that is empty or zero
        return [
            PutStatus({**_typed(s.status), "serviceAccountIssuers": list(change.entries)}, f"issuers {names}"),
            Event("ServiceAccountIssuer", change.event, ISSUER_CONTROLLER),
        ]

    def _observe(self, s: Snapshot, now: float) -> list[Write]:
        """status.serviceAccountIssuers to spec.observedConfig; what cannot be observed leaves the former in force."""
        wanted, problem = issuers.flags(self._entries(s), s.api_server_url)
        former = _observed(s)
        if problem or former == wanted or not self._entries(s):
            return []
        if not self.timers.due("observe" if former else "observe, first", now, json.dumps(wanted)):
            return []
        event = issuers.observation_event(former.get("service-account-issuer", []), wanted["service-account-issuer"])
        events: list[Write] = [Event("ObserveServiceAccountIssuer", event, OBSERVER)] if event else []
        return [*events, _put_observed(s, wanted)]

    def _entries(self, s: Snapshot) -> list[Object]:
        if self.options.forget_former:
            return [{"name": s.issuer or issuers.DEFAULT_ISSUER}]
        entries: list[Object] = s.status.get("serviceAccountIssuers", [])
        return entries

    def _target_config(self, s: Snapshot, now: float) -> list[Write]:
        """spec.observedConfig to the ConfigMap config."""
        wanted = _config(s)
        if not _observed(s) or s.data("config", "config.yaml") == wanted or not self.timers.due("config", now, wanted):
            return []
        pod = PutConfigMap("kube-apiserver-pod", {"pod.yaml": json.dumps(self.options.template)})
        new = "config" not in s.config_maps
        return [
            *([pod] if "kube-apiserver-pod" not in s.config_maps else []),
            PutConfigMap("config", {"config.yaml": wanted}),
            _created("ConfigMap", "config", TARGET_CONFIG) if new else _updated("config", "config.yaml", TARGET_CONFIG),
        ]

    def _revision(self, s: Snapshot, now: float) -> list[Write]:
        """The ConfigMap config to a revision of its own, once it differs from the latest one."""
        new = s.latest + 1
        config, latest = s.data("config", "config.yaml"), s.data(f"config-{s.latest}", "config.yaml")
        trigger = "required configmap/config has changed" if s.latest else 'configmap "kube-apiserver-pod-0" not found'
        message = f"new revision {new} triggered by {issuers.quote(trigger)}"
        mark = s.config_maps.get(f"revision-status-{new}")
        parts = {f"config-{new}", f"kube-apiserver-pod-{new}", f"revision-status-{new}"}
        if mark is None or not parts <= s.config_maps.keys():
            if config is None or config == latest or not self.timers.due("revision start", now, new):
                return []
            start = Event("StartingNewRevision", message, REVISIONS)
            created = [_created("ConfigMap", name, REVISIONS) for name in sorted(parts)]
            return [start, *self._revision_config_maps(new, config, ready=False), *created]
        if (mark["metadata"].get("annotations") or {}).get(manifests.READY) != "true":
            # what is copied now is what the revision has, whatever happens to the original meanwhile
            if not self.timers.due("revision copy", now, new):
                return []
            return [
                PutConfigMap(f"revision-status-{new}", mark["data"], {manifests.READY: "true"}),
                Event("RevisionTriggered", message, REVISIONS),
            ]
        if not self.timers.due("revision publish", now, new):
            return []
        steady = conditions.merged(s.status.get("conditions", []), _changed(s, conditions.STEADY), _rfc3339(now))
        return [_put(s, f"latestAvailableRevision {new}", latestAvailableRevision=new, conditions=steady)]

    def _revision_config_maps(self, revision: int, config: str, *, ready: bool) -> list[Write]:
        owner = f"revision-status-{revision}"
        pod = manifests.static_pod(self.options.template, revision, config)
        return [
            PutConfigMap(owner, {"revision": str(revision)}, {manifests.READY: "true" if ready else "false"}),
            PutConfigMap(f"kube-apiserver-pod-{revision}", {"pod.yaml": pod}, owner=owner),
            PutConfigMap(f"config-{revision}", {"config.yaml": config}, owner=owner),
        ]

    def _prune_revisions(self, s: Snapshot, now: float) -> list[Write]:
        """Old revisions go with all they own, installer pods included (the real pruner does so from a pod of its own)."""
        used = {revision for node in _nodes(s) for revision in (node.current, node.target)}
        marks = [name for name in s.config_maps if name.startswith("revision-status-")]
        old = [name for name in marks if int(name.rpartition("-")[2]) <= s.latest - KEPT_REVISIONS]
        return [DeleteConfigMap(name) for name in old if int(name.rpartition("-")[2]) not in used]

    # --- from a revision to the nodes -----------------------------------------------------------------------------------------

    def _installer(self, s: Snapshot, now: float) -> list[Write]:
        """One step of the installer. Conditions are only ever written together with a step or when nothing is to be done.

        While the youngest API server has not been ready for long enough nothing at all is written; yet the real one, whose reads
        take seconds, often records a node that became ready in the middle of its reading (both are in the recordings).
        """
        nodes, pods, scale = _nodes(s), _static_pods(s), self.options.pace.scale
        if self.options.adopt and not nodes:
            return []
        failed_for = {node.name: now - _seconds(node.failed_time) for node in nodes if node.failed_time}
        step = installer.next_step(nodes, s.latest, pods, _installer_pods(s), failed_for, scale)
        waiting = installer.settling(pods, now, MIN_READY * scale)
        if step is None:
            if waiting or not _changed(s, conditions.installer_conditions(nodes, s.latest)):
                return []
            if s.status.get("conditions") and not self.timers.due("conditions", now, s.latest, *nodes):
                return []
            return [self._put_nodes(s, nodes, now, "conditions")]
        first = step.kind == "target" and not any(node.current == step.node.target for node in nodes)
        key = (step.node.name, step.node.current, step.node.target, step.node.failed_count)
        early = step.kind == "done" and self.timers.coin("early", *key)
        if not self.timers.due("target, first" if first else step.kind, now, *key) or (waiting and not early):
            return []
        return self._carry_out(s, step, nodes, now)

    def _carry_out(self, s: Snapshot, step: Step, nodes: Sequence[NodeStatus], now: float) -> list[Write]:
        after = step.node
        if step.kind == "install":
            name = after.installer_pod()
            pod = manifests.installer_pod(name, after.name, after.target)
            return [CreatePod(pod, owner=f"revision-status-{after.target}"), _created("Pod", name, INSTALLER)]
        before = next(node for node in nodes if node.name == after.name)
        if step.kind == "failed":
            after = replace(after, failed_time=_rfc3339(now))
        put = self._put_nodes(
            s, [after if node is before else node for node in nodes], now, f"{step.kind}: {step.reason}"
        )
        match step.kind:
            case "target":
                text = f'Updating node "{after.name}" from revision {before.current} to {after.target} because {step.reason}'
                return [put, Event("NodeTargetRevisionChanged", text, INSTALLER)]
            case "done":
                text = f'Updated node "{after.name}" from revision {before.current} to {after.current} because {step.reason}'
                return [put, Event("NodeCurrentRevisionChanged", text, INSTALLER)]
            case "failed":
                text = "installer errors: " + "\n".join(after.failed_errors)
                return [put, Event("InstallerPodFailed", text, INSTALLER, warning=True)]
            case _:
                return [*([DeletePod(step.former_pod)] if step.former_pod else []), put]

    def _put_nodes(self, s: Snapshot, nodes: Sequence[NodeStatus], now: float, note: str) -> PutStatus:
        said = conditions.installer_conditions(nodes, s.latest)
        revisions = " ".join(
            f"{node.name}:{node.current}" + (f">{node.target}" if node.target else "") for node in nodes
        )
        return _put(
            s,
            f"{note} [{revisions}] {said[1]['status']} {said[1]['message']!r}",
            nodeStatuses=[node.entry() for node in nodes],
            conditions=conditions.merged(s.status.get("conditions", []), said, _rfc3339(now)),
        )

    # --- conditions -----------------------------------------------------------------------------------------------------------

    def _tidy(self, s: Snapshot, now: float) -> list[Write]:
        """Some seconds after a rollout's beginning another controller writes the status and drops all that is empty or zero."""
        typed = _typed(s.status)
        nodes = _nodes(s)
        beginning = (
            any(node.target for node in nodes) and len({node.current for node in nodes}) == 1 and nodes[0].current
        )
        if not beginning or typed == s.status or self._tidied == s.latest or not self.timers.due("tidy", now, s.latest):
            return []
        self._tidied = s.latest
        return [PutStatus(typed, "zeros and empty reasons dropped")]

    def _slow_conditions(self, s: Snapshot) -> list[Object]:
        mirrors = [pod for name, pod in s.pods.items() if name.startswith(f"{manifests.STATIC_POD}-")]
        return [conditions.static_pods_condition(mirrors), conditions.nodes_condition(s.masters)]

    def _other_conditions(self, s: Snapshot, now: float) -> list[Write]:
        """Conditions that other controllers write when they see something."""
        _unused, problem = issuers.flags(self._entries(s), s.api_server_url)
        observation = [conditions.observation_condition(problem)] if _observed(s) else []
        for hop, wanted in (("degraded", observation), ("static pods", self._slow_conditions(s))):
            changed = _changed(s, wanted)
            if changed and self.timers.due(hop, now, json.dumps(changed)):
                all_of_them = conditions.merged(s.status.get("conditions", []), changed, _rfc3339(now))
                note = "; ".join(f"{c['type']} {c['status']} {c.get('message', '')!r}" for c in changed)
                return [_put(s, note, conditions=all_of_them)]
        return []

    def _cluster_operator(self, s: Snapshot, now: float) -> list[Write]:
        """The ClusterOperator, a moment behind."""
        said = s.status.get("conditions", [])
        age = {c["type"]: now - _seconds(c["lastTransitionTime"]) for c in said}
        wanted = conditions.cluster_operator_conditions(said, age, self.options.pace.inertia())
        former = ((s.cluster_operator or {}).get("status") or {}).get("conditions", [])
        changed = [c for c in wanted if not conditions.same(conditions.find(former, c["type"]), c)]
        if not changed or not self.timers.due("cluster operator", now, json.dumps(wanted)):
            return []
        status = {
            **((s.cluster_operator or {}).get("status") or {}),
            "conditions": conditions.merged(former, changed, _rfc3339(now)),
            "versions": [
                {"name": "raw-internal", "version": self.options.version},
                {"name": "kube-apiserver", "version": self.options.operand_version},
                {"name": "operator", "version": self.options.version},
            ],
            "relatedObjects": RELATED_OBJECTS,
        }
        event = conditions.status_changed(former, wanted)
        return [PutClusterOperator(status), Event("OperatorStatusChanged", event, STATUS)]

    def _say_once(self, text: str) -> list[Write]:
        if text == self._said:
            return []
        self._said = text
        return [Say(text)]


RELATED_OBJECTS = [
    {"group": "operator.openshift.io", "name": "cluster", "resource": "kubeapiservers"},
    {"group": "apiextensions.k8s.io", "name": "", "resource": "customresourcedefinitions"},
    {"group": "", "name": manifests.OPERATOR_NAMESPACE, "resource": "namespaces"},
    {"group": "", "name": manifests.NAMESPACE, "resource": "namespaces"},
]


def _adopted(s: Snapshot) -> bool:
    nodes = _nodes(s)
    return bool(nodes and s.latest and all(node.current for node in nodes))


def _nodes(s: Snapshot) -> list[NodeStatus]:
    return [NodeStatus.parse(entry) for entry in s.status.get("nodeStatuses", [])]


def _static_pods(s: Snapshot) -> dict[str, StaticPod]:
    """By node. A mirror pod whose revision is not a number, or that is going away, counts as not there or not ready."""
    found = {}
    for node in s.masters:
        pod = s.pods.get(f"{manifests.STATIC_POD}-{node['metadata']['name']}")
        revision = ((pod or {}).get("metadata", {}).get("labels") or {}).get("revision", "")
        if pod is None or not revision.isdigit():
            continue
        ready = next((c for c in pod.get("status", {}).get("conditions", []) if c["type"] == "Ready"), None)
        running = pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        is_ready = bool(running and ready and ready["status"] == "True")
        # the API's times are cut to whole seconds: up to one second later, so that nobody is sent on too early
        since = _seconds(ready["lastTransitionTime"]) + 1 if is_ready and ready else 0.0
        found[node["metadata"]["name"]] = StaticPod(int(revision), is_ready, since)
    return found


def _installer_pods(s: Snapshot) -> dict[str, InstallerPod]:
    found = {}
    for name, pod in s.pods.items():
        if not name.startswith("installer-"):
            continue
        ended = [
            (c["name"], c.get("state", {}).get("terminated"))
            for c in pod.get("status", {}).get("containerStatuses", [])
        ]
        errors = [f"{container}: {end['message']}" for container, end in ended if end and end.get("message")]
        where = f'`oc get -oyaml -n "{manifests.NAMESPACE}" pods "{name}"`'
        errors = errors or [f"no detailed termination message, see {where}"]
        found[name] = InstallerPod(pod.get("status", {}).get("phase", "Pending"), tuple(errors))
    return found


def _observed(s: Snapshot) -> dict[str, list[str]]:
    arguments = ((s.operator.get("spec") or {}).get("observedConfig") or {}).get("apiServerArguments") or {}
    return {name: arguments[name] for name in manifests.DECIDED if name in arguments}


def _config(s: Snapshot) -> str:
    spec = s.operator.get("spec") or {}
    return manifests.config_text(spec.get("observedConfig") or {}, spec.get("unsupportedConfigOverrides") or {})


def _put(s: Snapshot, note: str, **changes: Any) -> PutStatus:
    status = {**s.status, **changes}
    return PutStatus({key: value for key, value in status.items() if value is not None}, note)


def _put_observed(s: Snapshot, arguments: Mapping[str, Sequence[str]]) -> PutSpec:
    spec = s.operator.get("spec") or {}
    observed = spec.get("observedConfig") or {}
    kept = {k: v for k, v in (observed.get("apiServerArguments") or {}).items() if k not in manifests.DECIDED}
    observed = {**observed, "apiServerArguments": {**kept, **arguments}}
    return PutSpec({**spec, "observedConfig": observed}, f"observed {list(arguments['service-account-issuer'])}")


def _typed(status: Mapping[str, Any]) -> Object:
    """As a typed client writes it: without what is empty or zero."""
    lists = {
        key: [{k: v for k, v in entry.items() if v not in (0, "", [], None)} for entry in status[key]]
        for key in ("nodeStatuses", "conditions")
        if key in status
    }
    return {**status, **lists}


def _changed(s: Snapshot, wanted: Iterable[Object]) -> list[Object]:
    said = s.status.get("conditions", [])
    return [c for c in wanted if not conditions.same(conditions.find(said, c["type"]), c)]


def _created(kind: str, name: str, component: str) -> Event:
    where = f"{kind}/{name} -n {manifests.NAMESPACE}"
    return Event(f"{kind}Created", f"Created {where} because it was missing", component)


def _updated(config_map: str, key: str, component: str) -> Event:
    where = f"ConfigMap/{config_map} -n {manifests.NAMESPACE}"
    return Event("ConfigMapUpdated", f"Updated {where}:\ncause by changes in data.{key}", component)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _rfc3339(now: float) -> str:
    return f"{datetime.fromtimestamp(now, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
