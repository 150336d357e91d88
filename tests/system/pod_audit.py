# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API servers' audit logs say of a run that renews pods, held against what must be.

A request whose answer got lost with its API server is not in any log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from labs import USER_AGENT

OWNERS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
REMOVALS = ("evict", "delete")


@dataclass(frozen=True, order=True)
class Deed:
    """Something that we did, or tried. ``what`` is evict, delete or create (the target is namespace/pod), or rollout
    (namespace/Kind/name); ``code`` is the answer's status."""

    moment: str
    what: str
    target: str
    code: int = 201


@dataclass(frozen=True)
class Target:
    """A pod that is to be renewed: by which ways it may go, and whose it is.

    ``owner`` is namespace/Kind/name, the Deployment where a ReplicaSet is kept by one; a pod without a controller is its
    own, and is created anew by us.
    """

    ways: frozenset[str]
    owner: str
    is_ready: bool = True

    @property
    def is_bare(self) -> bool:
        return "/Pod/" in self.owner


@dataclass(frozen=True)
class Plan:
    """What a run was asked for, and what became of it.

    ``targets`` are the pods, by namespace/name; ``limits`` how many Ready pods of an owner may be down at once (one, where
    nothing is said); ``ready`` when the successors became Ready, as (moment, owner), in whole seconds as kubelets
    tell; ``proven_at`` is when the rollout had its proof. ``most_down`` and ``most_namespaces`` are how many Ready pods may be
    down in all, and how many namespaces under way; zero for no limit.
    """

    targets: Mapping[str, Target]
    limits: Mapping[str, int] = field(default_factory=dict)
    ready: Sequence[tuple[str, str]] = ()
    proven_at: str = ""
    most_down: int = 0
    most_namespaces: int = 0


def read_deeds(events: Iterable[Mapping], namespaces: Iterable[str]) -> list[Deed]:
    """Return what we did to pods and their owners in ``namespaces``, in the order in which it was begun."""
    inside = set(namespaces)
    return sorted(
        deed
        for event in events
        if event["userAgent"] == USER_AGENT and (event.get("objectRef") or {}).get("namespace") in inside
        for deed in _read_deeds(event)
    )


def _read_deeds(event: Mapping) -> Iterator[Deed]:
    about, moment, code = event["objectRef"], event["requestReceivedTimestamp"], event["responseStatus"]["code"]
    kind = "/".join(filter(None, (event["verb"], about["resource"], about.get("subresource"))))
    what = {"create/pods/eviction": "evict", "delete/pods": "delete", "create/pods": "create"}.get(kind)
    if "dryRun=" in event["requestURI"]:
        return
    if what:
        yield Deed(moment, what, f"{about['namespace']}/{about.get('name')}", code)
    elif kind.partition("/")[0] == "patch" and about["resource"] in OWNERS and not about.get("subresource"):
        yield Deed(moment, "rollout", f"{about['namespace']}/{OWNERS[about['resource']]}/{about['name']}", code)


def read_first_ready(events: Iterable[Mapping], deeds: Iterable[Deed]) -> dict[str, str]:
    """Return when kwok said first that the successors of removed pods are Ready, by the names that they share.

    Under load it deletes what has a deleted pod's name, also the successor, so that the pod that is there at the end tells
    only when it was Ready last.
    """
    gone = {d.target: d.moment for d in deeds if d.code < 300 and d.what in REMOVALS}
    found: dict[str, str] = {}
    for event in events:
        about, moment = event.get("objectRef") or {}, event["requestReceivedTimestamp"]
        name = f"{about.get('namespace')}/{about.get('name')}"
        is_told = event["userAgent"].startswith("kwok/") and (event["verb"], about.get("subresource")) == (
            "patch",
            "status",
        )
        is_granted = about.get("resource") == "pods" and event["responseStatus"]["code"] < 300
        if is_told and is_granted and name in gone and moment > gone[name]:
            found[name] = min(moment, found.get(name, moment))
    return found


def find_violations(deeds: Iterable[Deed], plan: Plan) -> list[str]:
    """Return what must not be, a sentence each; nothing when all was right."""
    done = [d for d in sorted(deeds) if d.code < 300]
    found = [violation for deed in done for violation in _judge(deed, plan)]
    found += _judge_counts(done, plan)
    found += _judge_pace([d for d in done if d.what in REMOVALS and d.target in plan.targets], plan)
    found += _judge_namespaces(done, plan)
    return found


def _judge(deed: Deed, plan: Plan) -> Iterator[str]:
    """What one deed must not be."""
    words = f"{deed.what} of {deed.target} at {deed.moment}"
    if deed.moment < plan.proven_at:
        yield f"{words}: before the rollout was proven at {plan.proven_at}"
    if deed.what == "rollout":
        if deed.target not in {t.owner for t in plan.targets.values() if "rollout" in t.ways}:
            yield f"{words}: the plan does not roll it out"
        return
    target = plan.targets.get(deed.target)
    if target is None:
        yield f"{words}: the plan leaves it alone"
    elif deed.what in REMOVALS and deed.what not in target.ways:
        yield f"{words}: it was to go by {' or '.join(sorted(target.ways))}"
    elif deed.what == "create" and not target.is_bare:
        yield f"{words}: its owner creates it"


def _judge_counts(done: Sequence[Deed], plan: Plan) -> Iterator[str]:
    """Each pod goes once, and each owner is rolled out once; what has no controller comes back once."""
    removed = Counter(d.target for d in done if d.what in REMOVALS)
    rolled = Counter(d.target for d in done if d.what == "rollout")
    for owner, count in sorted(rolled.items()):
        if count > 1:
            yield f"{owner} was rolled out {count} times"
    for name, target in sorted(plan.targets.items()):
        is_rolled = "rollout" in target.ways and rolled[target.owner] > 0
        if removed[name] > 1:
            yield f"{name} was removed {removed[name]} times"
        if not removed[name] and not is_rolled:
            yield f"{name} was not renewed"
        created = [d.moment for d in done if (d.what, d.target) == ("create", name)]
        if target.is_bare and len(created) != removed[name]:
            yield f"{name} was removed {removed[name]} times and created {len(created)} times"
        if created and min(created) < min(
            (d.moment for d in done if d.target == name and d.what in REMOVALS), default=""
        ):
            yield f"{name} was created before it was removed"


def _judge_pace(removals: Sequence[Deed], plan: Plan) -> Iterator[str]:
    """Of no owner more Ready pods are down than may be; the pods of a StatefulSet go in order, the last one first."""
    down: Counter[str] = Counter()
    ordinals: dict[str, int] = {}
    for deed in removals:
        target = plan.targets[deed.target]
        words = f"{deed.what} of {deed.target} at {deed.moment}"
        down[target.owner] += target.is_ready
        back = sum(moment[:19] <= deed.moment[:19] for moment, owner in plan.ready if owner == target.owner)
        limit = plan.limits.get(target.owner, 1)
        if target.is_ready and down[target.owner] - back > limit:
            yield f"{words}: {down[target.owner] - back} of {target.owner} are down, more than {limit}"
        total = down.total() - sum(moment[:19] <= deed.moment[:19] for moment, _owner in plan.ready)
        if target.is_ready and plan.most_down and total > plan.most_down:
            yield f"{words}: {total} are down in all, more than {plan.most_down}"
        if "/StatefulSet/" in target.owner:
            ordinal = int(deed.target.rpartition("-")[2])
            if ordinal > ordinals.get(target.owner, ordinal):
                yield f"{words}: {target.owner} goes from the last to the first"
            ordinals[target.owner] = ordinal


def _judge_namespaces(done: Sequence[Deed], plan: Plan) -> Iterator[str]:
    """No namespace is begun before enough of those before are done, with their pods Ready again."""
    begun: dict[str, str] = {}
    ended: dict[str, str] = {}
    for deed in done:
        begun.setdefault(deed.target.partition("/")[0], deed.moment)
    for moment, name in [(d.moment, d.target) for d in done] + list(plan.ready):
        namespace = name.partition("/")[0]
        ended[namespace] = max(moment, ended.get(namespace, ""))
    for namespace, moment in begun.items() if plan.most_namespaces else ():
        under_way = [n for n in begun if begun[n] <= moment and ended[n][:19] > moment[:19]]
        if len({*under_way, namespace}) > plan.most_namespaces:
            others = ", ".join(sorted({*under_way} - {namespace}))
            yield f"{namespace} was begun at {moment}: {others} were not done, and {plan.most_namespaces} may be under way"


def plan_of(
    records: Iterable[Mapping],
    after: Iterable[Mapping],
    *,
    limits: Mapping[str, int] | None = None,
    first_ready: Mapping[str, str] | None = None,
    proven_at: str = "",
    may_evict: bool = False,
    most_down: int = 0,
    most_namespaces: int = 0,
) -> Plan:
    """Return the plan as pod_restart told it in ``records`` (its result's ``pods``), with the pods as they are ``after``.

    ``first_ready`` tells when some of these were Ready first, see read_first_ready. Where ``may_evict``, what was to be rolled
    out may be evicted, too: a run that goes on finds its owner not whole.
    """
    targets = {}
    for record in records:
        if record["outcome"] == "left":
            continue
        ways = {record["method"], *(("evict",) if may_evict else ())}
        kind, _slash, owner = (record["owner"] or f"Pod/{record['name']}").partition("/")
        namespace = record["namespace"]
        targets[f"{namespace}/{record['name']}"] = Target(frozenset(ways), _name_owner(namespace, kind, owner))
    old = {record["uid"] for record in records}
    new = [pod for pod in after if pod["metadata"]["uid"] not in old]
    ready = [r for pod in new for r in _ready(pod, first_ready or {})]
    return Plan(targets, limits or {}, ready, proven_at, most_down, most_namespaces)


def _name_owner(namespace: str, kind: str, name: str) -> str:
    if kind == "ReplicaSet":
        kind, name = "Deployment", name.rpartition("-")[0]
    return f"{namespace}/{kind}/{name}"


def _ready(pod: Mapping, first: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """When a pod became Ready, and whose it is."""
    metadata = pod["metadata"]
    owner = next((r for r in metadata.get("ownerReferences") or () if r.get("controller")), None)
    kind, name = (owner["kind"], owner["name"]) if owner else ("Pod", metadata["name"])
    for condition in pod["status"].get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            moment = first.get(f"{metadata['namespace']}/{metadata['name']}", condition["lastTransitionTime"])
            yield moment, _name_owner(metadata["namespace"], kind, name)


def read_limits(lab, namespaces: Iterable[str]) -> dict[str, int]:
    """Return how many pods each Deployment and DaemonSet lets be down at once."""
    limits = {}
    for namespace in namespaces:
        for resource, strategy in (("deployments", "strategy"), ("daemonsets", "updateStrategy")):
            for found in lab.api.items(f"/apis/apps/v1/namespaces/{namespace}/{resource}"):
                given = (found["spec"][strategy].get("rollingUpdate") or {}).get("maxUnavailable", 1)
                wanted = found["spec"].get("replicas") or found["status"].get("desiredNumberScheduled", 1)
                count = wanted * int(given[:-1]) // 100 if isinstance(given, str) else given
                limits[f"{namespace}/{OWNERS[resource]}/{found['metadata']['name']}"] = max(1, count)
    return limits
