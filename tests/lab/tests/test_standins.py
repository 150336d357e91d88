# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins' decisions: pools and their updates, guards, etcd's report."""

from __future__ import annotations

from typing import Any

import pytest
from lab.standins import etcd, guards, pools
from lab.standins.pools import CURRENT, DESIRED, DESIRED_DRAIN, LAST_DRAIN, STATE, Pools

OLD, NEW = "rendered-worker-0", "rendered-worker-1"


def _pool(name: str = "worker", **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {f"node-role.kubernetes.io/{name}": ""}}
    return {"metadata": {"name": name}, "spec": {"nodeSelector": selector, "configuration": {"name": OLD}} | spec}


def _node(name: str, *roles: str, zone: str = "a", **spec: Any) -> dict[str, Any]:
    labels = {f"node-role.kubernetes.io/{role}": "" for role in roles or ("worker",)}
    return {
        "metadata": {"name": name, "labels": labels | {pools.ZONE: zone}, "creationTimestamp": "2026-11-22T00:00:00Z"},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


class World:
    """Applies what is decided to dicts, one second per look."""

    def __init__(self, pool: dict[str, Any], *nodes: dict[str, Any]) -> None:
        self.pool = pool
        self.nodes = {node["metadata"]["name"]: node for node in nodes}
        self.operator = Pools(seconds=10)
        self.moment = 0.0
        self.seen: list[str] = []
        self.busiest = 0

    def look(self, times: int = 1) -> None:
        for _unused in range(times):
            self.moment += 1
            pool = {self.pool["metadata"]["name"]: self.pool}
            for write in self.operator.decide(pool, self.nodes.values(), self.moment, f"t{self.moment:g}"):
                self._apply(write)
            self.busiest = max(
                self.busiest, sum(bool(node["spec"].get("unschedulable")) for node in self.nodes.values())
            )

    def _apply(self, write: pools.Write) -> None:
        target = self.pool if write.path.startswith(pools.POOLS) else self.nodes[write.path.rpartition("/")[2]]
        if "status" in write.body:
            target["status"] = write.body["status"]
        else:
            target["metadata"].setdefault("annotations", {}).update(write.body["metadata"]["annotations"])
            target["spec"].update(write.body.get("spec", {}))
            self.seen.append(write.note)

    def notes(self, node: str) -> dict[str, str]:
        notes: dict[str, str] = self.nodes[node]["metadata"]["annotations"]
        return notes

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(c for c in self.pool["status"]["conditions"] if c["type"] == kind)
        return found["status"], found["message"]


@pytest.fixture
def world() -> World:
    made = World(_pool(), _node("one", zone="b"), _node("two", zone="a"), _node("three", zone="c"))
    made.look(3)
    made.seen.clear()
    return made


def test_nodes_join_with_the_pools_configuration(world: World) -> None:
    assert world.notes("one") == {
        CURRENT: OLD,
        DESIRED: OLD,
        STATE: "Done",
        DESIRED_DRAIN: f"uncordon-{OLD}",
        LAST_DRAIN: f"uncordon-{OLD}",
    }
    assert world.condition("Updated") == ("True", f"All nodes are updated with MachineConfig {OLD}")
    assert world.pool["status"]["readyMachineCount"] == 3


def test_an_update_takes_one_node_at_a_time_by_zone(world: World) -> None:
    world.pool["spec"]["configuration"] = {"name": NEW}
    world.look(4)
    assert world.notes("two")[STATE] == "Working"
    assert world.condition("Updating") == ("True", f"All nodes are updating to MachineConfig {NEW}")
    assert world.pool["status"]["configuration"] == {"name": OLD}
    world.look(100)
    assert world.busiest == 1
    assert [line.split()[1] for line in world.seen if line.endswith("is cordoned")] == ["two", "one", "three"]
    assert world.pool["status"]["configuration"] == {"name": NEW}
    assert world.condition("Updated")[0] == "True"
    assert {name: world.notes(name)[CURRENT] for name in world.nodes} == dict.fromkeys(world.nodes, NEW)
    assert not any(node["spec"]["unschedulable"] for node in world.nodes.values())


def test_a_foreign_cordon_uses_up_what_may_be_unavailable(world: World) -> None:
    world.nodes["three"]["spec"]["unschedulable"] = True
    world.pool["spec"]["configuration"] = {"name": NEW}
    world.look(30)
    assert world.seen == []
    status = world.pool["status"]
    assert (status["unavailableMachineCount"], status["updatedMachineCount"]) == (1, 0)
    world.pool["spec"]["maxUnavailable"] = "70%"
    world.look(100)
    assert {name: world.notes(name)[CURRENT] for name in world.nodes} == {"one": NEW, "two": NEW, "three": OLD}


def test_a_cordon_alone_makes_the_pool_say_updating_though_nothing_is_updated(world: World) -> None:
    world.nodes["one"]["spec"]["unschedulable"] = True
    world.look()
    assert world.condition("Updating")[0] == "True"
    assert world.notes("one")[STATE] == "Done"


def test_a_paused_pool_waits(world: World) -> None:
    world.pool["spec"] |= {"configuration": {"name": NEW}, "paused": True}
    world.look(30)
    assert world.seen == []
    assert world.condition("Updating") == ("False", f"Pool is paused; will not update to MachineConfig {NEW}")


def test_an_update_that_fails_is_degraded_until_it_may_go_on(world: World) -> None:
    world.notes("two")[pools.FAILS] = ""
    world.pool["spec"]["configuration"] = {"name": NEW}
    world.look(30)
    assert world.notes("two")[STATE] == "Degraded"
    assert world.condition("Degraded")[0] == world.condition("NodeDegraded")[0] == "True"
    assert "Node two is reporting" in world.condition("Degraded")[1]
    assert world.notes("one")[DESIRED] == OLD  # a node that fails counts as one under way
    del world.notes("two")[pools.FAILS]
    world.look(100)
    assert world.condition("Degraded")[0] == "False"
    assert world.condition("Updated")[0] == "True"


@pytest.mark.parametrize(
    ("wanted", "nodes", "allowed"), [(1, 5, 1), (3, 5, 3), ("10%", 19, 1), ("10%", 200, 20), (0, 5, 1)]
)
def test_percentages_are_rounded_down_to_one_at_least(wanted: int | str, nodes: int, allowed: int) -> None:
    assert pools.max_unavailable(_pool(maxUnavailable=wanted), nodes) == allowed


def test_a_node_is_in_one_pool() -> None:
    known = [_pool("master"), _pool("worker"), _pool("infra")]
    assert pools.find_pool(_node("n", "master", "control-plane", "worker"), known) == "master"
    assert pools.find_pool(_node("n", "worker", "infra"), known) == "infra"
    assert pools.find_pool(_node("n", "worker"), known) == "worker"
    assert pools.find_pool(_node("n", "edge"), known) is None


def test_a_condition_keeps_its_moment_while_its_status_stays() -> None:
    before = [{"type": "Degraded", "status": "False", "lastTransitionTime": "then"}]
    same = pools.merge_conditions(before, [{"type": "Degraded", "status": "False"}], "now")
    other = pools.merge_conditions(before, [{"type": "Degraded", "status": "True"}], "now")
    assert [same[0]["lastTransitionTime"], other[0]["lastTransitionTime"]] == ["then", "now"]


def test_guards_are_made_where_the_operand_is_and_the_node_may_be_scheduled_to() -> None:
    guard = guards.GUARDS[0]
    masters = [_node(f"m{i}", "master") for i in range(4)]
    masters[1]["spec"]["taints"] = [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
    operands = [{"metadata": {"name": f"etcd-m{i}"}} for i in (0, 1, 3)]
    failed = {"metadata": {"name": "etcd-guard-m3"}, "status": {"phase": "Failed"}}
    missing, ended = guards.find_missing(guard, masters, [*operands, failed])
    assert [pod["metadata"]["name"] for pod in missing] == ["etcd-guard-m0"]
    assert ended == ["etcd-guard-m3"]
    assert guards.budget(guard, 3)["spec"]["minAvailable"] == 2


@pytest.mark.parametrize(
    ("healthy", "available", "text"),
    [
        ("abc", "True", "3 members are available"),
        ("ab", "True", "2 of 3 members are available, c is unhealthy"),
        ("a", "False", "1 of 3 members are available, b is unhealthy, c is unhealthy"),
    ],
)
def test_etcd_reports_members_and_calls_itself_degraded_after_a_while(healthy: str, available: str, text: str) -> None:
    members = etcd.judge_members({name: name in healthy for name in "abc"})
    assert (members[0]["status"], members[0]["message"]) == (available, text)
    sick = "False" if healthy == "abc" else "True"
    assert members[1]["status"] == sick
    assert etcd.judge_operator(members, sick_for=11, inertia=12)[0]["status"] == "False"
    assert etcd.judge_operator(members, sick_for=12, inertia=12)[0]["status"] == sick
