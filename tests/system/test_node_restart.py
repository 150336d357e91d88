# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that restart without anything going wrong: what is done, what is planned, what people see."""

from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.permissions import (
    NAMESPACES,
    permissions_for,
    run_permissions,
)
from interruptions import now, play
from node_audit import find_writes
from node_runs import Members, as_role, boot_ids, busiest, check, plan, read_record, restart, set_cordon

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def test_a_worker_restarts_as_check_mode_had_planned_without_changing_anything(whole):
    name = busiest(whole)
    since, before = now(), boot_ids(whole)
    planned = restart(whole, name, check_mode=True)
    assert planned["changed"]
    assert planned["batches"] == [[name]]
    assert find_writes(whole.audit_events(since)) == []
    done = restart(whole, name, restart_delay=10)  # so that even a slow machine sees the restart pod end
    assert done["changed"], done
    assert done["batches"] == planned["batches"]
    assert [n["name"] for n in done["nodes"]] == [n["name"] for n in planned["nodes"]] == [name]
    node = done["nodes"][0]
    assert (node["outcome"], node["boot_id_before"], node["boot_id"]) == ("done", before[name], boot_ids(whole)[name])
    assert since[:19] <= node["restarted_at"][:19] <= now()[:19]
    assert set(node["seconds"]) >= {"draining", "restarting", "returning"}
    assert node["evicted"] > 0
    check(whole, since, before, [name], plan(whole))
    assert read_record(whole) is None


def test_a_node_that_somebody_had_cordoned_stays_cordoned(whole):
    set_cordon(whole, "worker-1", True)
    since, before = now(), boot_ids(whole)
    result = restart(whole, "worker-1", run_id="named")
    assert result["nodes"][0]["outcome"] == "done", result
    check(whole, since, before, ["worker-1"], plan(whole, cordoned=["worker-1"]))
    again = restart(whole, "worker-1", run_id="named")
    assert not again["changed"], again
    assert boot_ids(whole)["worker-1"] == result["nodes"][0]["boot_id"]


@pytest.mark.slow
def test_all_nodes_restart_one_after_the_other_and_the_api_stays(whole):
    since, before = now(), boot_ids(whole)
    with Members(whole) as members:
        run = play(whole, "restart_nodes", **as_role())
        output = run.finish()
    check(whole, since, before, [node.name for node in whole.settings.nodes], plan(whole))
    assert members.fewest == 2, members.looks
    lines = [line for line in output.splitlines() if line.endswith(" is done")]
    assert lines == [
        f"[localhost] {name} is done" for name in ("worker-0", "worker-1", "master-0", "master-1", "master-2")
    ]
    assert read_record(whole) is None
    run.log.unlink()


@pytest.mark.slow
def test_whoever_may_read_all_and_do_what_is_asked_for_restarts_a_node(whole):
    """What preflight asks for is enough: also for the restart pod, which needs the use of an SCC that the run itself grants."""
    name, since, before = "node-restarter", now(), boot_ids(whole)
    wanted = (*permissions_for(["node_restart"]), *run_permissions("bound-tokens"), NAMESPACES)
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    for permission in (p.instead or p for p in wanted):
        resource = permission.resource + (f"/{permission.subresource}" if permission.subresource else "")
        rule = {"apiGroups": [permission.group], "resources": [resource], "verbs": [permission.verb]}
        rules.append(rule | ({"resourceNames": [permission.name]} if permission.name else {}))
    whole.api.apply(f"{RBAC}/clusterroles/{name}", rbac("ClusterRole", name, rules=rules))
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
    binding = rbac("ClusterRoleBinding", name, roleRef=role, subjects=[user])
    whole.api.apply(f"{RBAC}/clusterrolebindings/{name}", binding)
    result = restart(whole, "worker-0", impersonate_user=name)
    assert [n["outcome"] for n in result["nodes"]] == ["done"], result
    check(whole, since, before, ["worker-0"], plan(whole))


def rbac(kind, name, **more):
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, **more}
