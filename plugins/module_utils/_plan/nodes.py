# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Which nodes are restarted, in which order, and how many at a time. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._errors import CollectionError, InvalidOption
from .._node_model import CONTROL_PLANE_ROLES, BudgetFacts, NodeFacts, NodePod, PoolFacts, matches
from .drain import DrainOptions, choose_targets, read_drain_options

_HOST = "kubernetes.io/hostname"
_TERM = re.compile(r"(?P<key>[\w./-]+)(\s*(?P<operator>==?|!=)\s*(?P<value>[\w.-]*))?|!\s*(?P<absent>[\w./-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """Which nodes a task asks for, how many of them may be unavailable at once, and what happens to one that fails.

    ``max_unavailable`` counts over all nodes, ``max_unavailable_per_pool`` over those of one pool, where it never exceeds
    what the pool itself allows (None: as many as that, else one); each is a number or a percentage. ``only`` are the
    nodes to begin in this task, None for all. ``allow_disruption`` is whether the run itself may be interrupted.
    """

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    max_unavailable: str = "1"
    max_unavailable_per_pool: str | None = None
    has_canary: bool = False
    only: tuple[str, ...] | None = None
    drain: DrainOptions = field(default_factory=DrainOptions)
    allow_disruption: bool = False
    on_failure: str = "auto"
    max_failures: int = 0
    restart_timeout: int = 1800
    delay: int = 3
    image: str | None = None


SELECTION_ARG_SPEC: dict[str, dict[str, Any]] = {
    "nodes": {"type": "list", "elements": "str"},
    "label_selectors": {"type": "list", "elements": "str", "default": []},
    "roles": {"type": "list", "elements": "str", "default": []},
    "pools": {"type": "list", "elements": "str", "default": []},
}


def read_selection(params: Mapping[str, Any]) -> NodeRequest:
    """Return which nodes the options select. Raises InvalidOption where they can't be meant."""
    if params["nodes"] is not None and not params["nodes"]:
        raise InvalidOption(
            "The option nodes is empty; name nodes, or leave it out to select all that the other options do."
        )
    return NodeRequest(
        names=tuple(params["nodes"] or ()),
        labels=tuple(params["label_selectors"]),
        roles=tuple(params["roles"]),
        pools=tuple(params["pools"]),
    )


def read_node_request(params: Mapping[str, Any]) -> NodeRequest:
    """Return what the options of node_restart ask for. Raises InvalidOption where they can't be meant."""
    selection = read_selection(params)
    _check_numbers(params)
    delay = params["restart_delay"]
    if not 1 <= delay <= 60:
        raise InvalidOption(f"The option restart_delay is {delay}; give 1 to 60 seconds.")
    if params["restart_timeout"] <= delay:
        raise InvalidOption(
            f"The option restart_timeout is {params['restart_timeout']}, and no host restarts before restart_delay, {delay} s, "
            "is over; give the nodes more time than that."
        )
    return replace(
        selection,
        max_unavailable=params["max_unavailable"],
        max_unavailable_per_pool=params["max_unavailable_per_pool"],
        has_canary=params["canary"],
        only=None if params["only"] is None else tuple(params["only"]),
        drain=read_drain_options(params["delete_options"], allow_disruption=params["allow_disruption"]),
        allow_disruption=params["allow_disruption"],
        on_failure=params["on_failure"],
        max_failures=params["max_failures"],
        restart_timeout=params["restart_timeout"],
        delay=delay,
        image=params["image"],
    )


def read_drain_request(params: Mapping[str, Any]) -> NodeRequest:
    """Return what the options of node_drain ask for. Raises InvalidOption where they can't be meant."""
    if not params["nodes"]:
        raise InvalidOption("The option nodes is empty; name the nodes to drain or to put back.")
    _check_numbers(params)
    return NodeRequest(
        names=tuple(params["nodes"]),
        max_unavailable=params["max_unavailable"],
        max_unavailable_per_pool=params["max_unavailable_per_pool"],
        drain=read_drain_options(params["delete_options"], allow_disruption=params["allow_disruption"]),
        allow_disruption=params["allow_disruption"],
        on_failure=params["on_failure"],
        max_failures=params["max_failures"],
        restart_timeout=params["restart_timeout"],
    )


def _check_numbers(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for numbers, of those that both modules have, that can't be meant."""
    for name in ("max_unavailable", "max_unavailable_per_pool"):
        if params[name] is not None:
            count_limit(params[name], 100, option=name)
    for name in ("max_failures", "restart_timeout", "canary_pause"):
        if params[name] < 0:
            raise InvalidOption(f"The option {name} is {params[name]}; give 0 or more.")


def count_limit(given: int | str, total: int, *, option: str = "maxUnavailable") -> int:
    """Return how many of ``total`` nodes a number or a percentage is: rounded down, but never none.

    Raises InvalidOption for a text that is neither.
    """
    text = str(given).strip()
    digits = text.removesuffix("%")
    if not digits.isdecimal() or int(digits) == 0 or (text != digits and int(digits) > 100):
        raise InvalidOption(
            f"The option {option} is {text!r}; give a number of nodes such as 2, or a share such as 10%."
        )
    return max(1, total * int(digits) // 100) if text != digits else int(digits)


def _count_pool_limit(given: int | str, size: int) -> int:
    """Return how many of ``size`` nodes a MachineConfigPool's maxUnavailable lets be unavailable.

    One where it says none, as its operator reads it; and where it can't be read, with which the operator does nothing.
    """
    try:
        return count_limit(given, size)
    except InvalidOption:
        return 1


def find_pool(node: NodeFacts, pools: Iterable[PoolFacts]) -> str:
    """Return the pool that manages ``node``; where there are no pools, control-plane or worker.

    As the machine-config operator does: the control plane's pool first, then a pool of one's own before worker; a pool with
    an empty selector manages nothing.
    """
    names = sorted(p.name for p in pools if any(p.selector.values()) and matches(p.selector, node.labels))
    ranked = sorted(names, key=lambda n: (n not in CONTROL_PLANE_ROLES, n == "worker"))
    return next(iter(ranked), "control-plane" if node.is_control_plane else "worker")


def choose_nodes(
    nodes: Sequence[NodeFacts], request: NodeRequest, pools: Sequence[PoolFacts], own_node: str | None
) -> list[NodeFacts]:
    """Return the nodes that ``request`` selects, in the order in which they are restarted.

    Workers pool by pool and zone by zone, then the control plane; the node that the automation runs on (``own_node``) is the
    last of its kind. Every kind of selection narrows the others; none at all selects every node. Raises CollectionError for
    a node or a pool that is asked for by name and does not exist, and where nothing is selected.
    """
    missing = sorted(set(request.names) - {n.name for n in nodes})
    if missing:
        raise CollectionError(f"Could not find the node(s) {', '.join(missing)}; check the names in the option nodes.")
    pool_of = {n.name: find_pool(n, pools) for n in nodes}
    unknown = sorted(set(request.pools) - {p.name for p in pools} - set(pool_of.values()))
    if unknown:
        raise CollectionError(f"Could not find the pool(s) {', '.join(unknown)}; check the names in the option pools.")
    chosen = [
        n
        for n in nodes
        if (not request.names or n.name in request.names)
        and (not request.roles or set(n.roles) & set(request.roles))
        and (not request.pools or pool_of[n.name] in request.pools)
        and all(matches_text(selector, n.labels) for selector in request.labels)
    ]
    if not chosen:
        raise CollectionError(
            "No node was restarted, because none is selected; check nodes, label_selectors, roles and pools."
        )
    return sorted(chosen, key=lambda n: (n.is_control_plane, n.name == own_node, pool_of[n.name], n.zone, n.name))


def matches_text(selector: str, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector as people write it (a=b, a!=b, a, !a) fits. Raises InvalidOption for another one."""
    terms = [_TERM.fullmatch(t.strip()) for t in selector.split(",")]
    if None in terms:
        raise InvalidOption(
            f"The label selector {selector!r} can't be read; give terms such as zone=a, zone!=b, gpu, !gpu."
        )
    return all(_fits_term(t, labels) for t in terms if t)


def _fits_term(term: re.Match[str], labels: Mapping[str, str]) -> bool:
    if term["absent"]:
        return term["absent"] not in labels
    if term["operator"]:
        return (labels.get(term["key"]) == term["value"]) == (term["operator"] != "!=")
    return term["key"] in labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What limits a batch besides the request: all nodes of the cluster, the pools, the budgets, and the pods of each node.

    ``own_pod`` is the one that the automation runs in, as far as that can be told.
    """

    nodes: Sequence[NodeFacts]
    pools: Sequence[PoolFacts] = ()
    budgets: Sequence[BudgetFacts] = ()
    pods: Mapping[str, Sequence[NodePod]] = field(default_factory=dict)
    own_pod: NodePod | None = None

    @property
    def own_node(self) -> str | None:
        return self.own_pod.facts.node if self.own_pod else None


def select_nodes(names: Sequence[str], labels: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the selectors with which a list or a watch is of these nodes, or, where their ``labels`` are not known, of all."""
    if len(names) == 1:
        return {"field_selector": f"metadata.name={names[0]}"}
    hosts = [labels.get(name, {}).get(_HOST, "") for name in names]
    return {"label_selector": f"{_HOST} in ({','.join(hosts)})"} if all(hosts) else {}


def plan_batches(chosen: Sequence[NodeFacts], request: NodeRequest, around: Surroundings) -> list[tuple[str, ...]]:
    """Return the names of the nodes that are away together, batch by batch, as nearly in the order of ``chosen`` as fits: each
    batch begins with the first node that is left and takes whichever later ones it has room for.

    A control-plane node is always alone. A batch never takes more nodes of a pool, and of all, than the request and the pool
    itself allow, less those that are unavailable already and not in it; nor nodes whose drains would wait for each other, because
    one budget covers pods on both and does not allow as many disruptions. A node that leaves no room of this kind is alone.
    The node that the automation runs on stays the last of its kind.
    """
    pool_of = {n.name: find_pool(n, around.pools) for n in around.nodes}
    limits = find_limits(pool_of, request, around.pools)
    total = count_limit(request.max_unavailable, len(around.nodes))
    # A node that bears a mark is in the middle of its restart and will be back, unless it was cordoned before.
    lasting = (n for n in around.nodes if n.is_unavailable and (n.mark is None or n.mark.was_cordoned))
    unavailable = {n.name for n in lasting}
    disruptions = {n.name: _count_disruptions(around.pods.get(n.name, ()), request, around.budgets) for n in chosen}
    allowed = {str(b): b.allowed for b in around.budgets}
    batches: list[list[NodeFacts]] = []

    def fits(node: NodeFacts, batch: Sequence[NodeFacts]) -> bool:
        if node.is_control_plane or batch[0].is_control_plane or (request.has_canary and not batches):
            return False
        away = {node.name, *(n.name for n in batch)}
        sizes = Counter(pool_of[name] for name in away | unavailable)
        if len(away | unavailable) > total or any(sizes[p] > limits[p] for p in {pool_of[name] for name in away}):
            return False
        together = sum((disruptions[n.name] for n in (*batch, node)), Counter[str]())
        shared = {b for b in disruptions[node.name] if any(b in disruptions[n.name] for n in batch)}
        return all(together[b] <= allowed[b] for b in shared)

    left = list(chosen)
    while left:
        batch = left[:1]
        for place, node in enumerate(left[1:], start=1):
            if fits(node, batch) and (node.name != around.own_node or len(batch) == place):
                batch.append(node)
        batches.append(batch)
        taken = {n.name for n in batch}
        left = [n for n in left if n.name not in taken]
    return [tuple(n.name for n in batch) for batch in batches]


def _count_disruptions(pods: Iterable[NodePod], request: NodeRequest, budgets: Iterable[BudgetFacts]) -> Counter[str]:
    """Return how many pods a drain takes from each budget."""
    targets = choose_targets(pods, request.drain)
    return Counter(str(b) for b in budgets for pod in targets if pod.facts.is_ready and b.covers(pod))


def find_limits(pool_of: Mapping[str, str], request: NodeRequest, pools: Iterable[PoolFacts]) -> dict[str, int]:
    """Return how many nodes of each pool may be unavailable at once; ``pool_of`` names the pool of every node.

    A machine-config pool that does not say takes one, as its operator does, unless the request says; where there are no such
    pools, nothing limits.
    """
    own, asked = {p.name: p.max_unavailable for p in pools}, request.max_unavailable_per_pool
    limits = {}
    for pool, size in Counter(pool_of.values()).items():
        given = [] if asked is None else [count_limit(asked, size, option="max_unavailable_per_pool")]
        said = own.get(pool)
        given += [] if said is None else [_count_pool_limit(said, size)]
        limits[pool] = min(given, default=1 if own else size)
    return limits


def find_room(
    batch: Collection[str], nodes: Sequence[NodeFacts], pools: Sequence[PoolFacts], request: NodeRequest
) -> str:
    """Return why ``batch`` may not begin now, because nodes outside it are unavailable; empty when it may."""
    pool_of = {n.name: find_pool(n, pools) for n in nodes}
    limits = find_limits(pool_of, request, pools)
    away = sorted(n.name for n in nodes if n.is_unavailable and n.name not in batch)
    going = [pool_of[name] for name in batch if name in pool_of]
    for pool in sorted(set(going)):
        of_pool = [name for name in away if pool_of[name] == pool]
        if of_pool and len(of_pool) + going.count(pool) > limits[pool]:
            return f"unavailable in the pool {pool}, of which {limits[pool]} may be: {', '.join(of_pool)}"
    total = count_limit(request.max_unavailable, len(nodes))
    if away and going and len(away) + len(going) > total:
        return f"unavailable of all nodes, of which {total} may be (max_unavailable): {', '.join(away)}"
    return ""


def fit_beside(
    failed: Collection[str],
    batch: Sequence[str],
    nodes: Sequence[NodeFacts],
    pools: Sequence[PoolFacts],
    request: NodeRequest,
) -> tuple[Sequence[str], str]:
    """Return as many nodes of ``batch`` as there is room for beside the ``failed`` ones that stay unavailable; and why there is
    none for all. Whatever else is unavailable may come back: the gates wait for that.
    """
    lasting = [n if n.name in failed else replace(n, is_cordoned=False, is_ready=True) for n in nodes]
    sizes = range(len(batch), 0, -1)
    fitting = (batch[:size] for size in sizes if not find_room(batch[:size], lasting, pools, request))
    return next(fitting, ()), find_room(batch, lasting, pools, request)
