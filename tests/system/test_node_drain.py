# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that are restarted by other means than ours: drained before and proven after, by the module and by the role."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
import yaml
from interruptions import now, play
from modules import run_module
from node_audit import RESTART_NAMESPACE, find_writes, read_deeds
from node_runs import (
    OPTIONS,
    RECORD,
    as_role,
    boot_ids,
    busiest,
    check,
    is_cordoned,
    plan,
    read_record,
    restart,
)

pytestmark = pytest.mark.slow

#: A moment later, so that the command that asks for it ends well.
REBOOT = ["systemd-run", "--on-active=1", "systemctl", "reboot"]


def drain(lab, state, node, **more):
    options = {name: value for name, value in OPTIONS.items() if name != "image"} | more
    return run_module("node_drain", kubeconfig=lab.kubeconfig, nodes=[node], state=state, **options)


def movable_pods(lab, node):
    """The pods on a node that no DaemonSet and no file keeps there."""
    pods = lab.api.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")
    owners = [owner["kind"] for pod in pods for owner in pod["metadata"].get("ownerReferences", [])]
    return [kind for kind in owners if kind not in ("DaemonSet", "Node")]


def test_a_node_is_emptied_restarted_by_hand_and_put_back(whole):
    name = busiest(whole)
    since, before = now(), boot_ids(whole)
    drained = drain(whole, "drained", name)
    assert [(n["outcome"], n["evicted"] > 0) for n in drained["nodes"]] == [("restarting", True)], drained
    assert is_cordoned(whole, name)
    assert movable_pods(whole, name) == []
    assert not drain(whole, "drained", name)["changed"]
    early = drain(whole, "available", name, restart_timeout=5)
    assert early["msg"] == (
        f"1 node(s) failed: {name}: after 5 s: it has not restarted: the boot ID is still {before[name]}. Mend them and run it "
        "again: it goes on where it stopped."
    )
    assert is_cordoned(whole, name)
    whole.command("exec", name, *REBOOT)
    back = drain(whole, "available", name)
    assert back["changed"], back
    assert [n["outcome"] for n in back["nodes"]] == ["done"]
    check(whole, since, before, [name], plan(whole))
    assert read_record(whole) is None
    assert not drain(whole, "available", name)["changed"]


def test_a_node_that_was_emptied_is_restarted_by_node_restart(whole):
    name = busiest(whole)
    since, before = now(), boot_ids(whole)
    assert drain(whole, "drained", name)["changed"]
    result = restart(whole, name)
    assert [n["outcome"] for n in result["nodes"]] == ["done"], result
    check(whole, since, before, [name], plan(whole))
    assert read_record(whole) is None


def test_a_node_is_emptied_and_put_back_as_it_is(whole):
    name = busiest(whole)
    since, before = now(), boot_ids(whole)
    assert drain(whole, "drained", name)["changed"]
    assert drain(whole, "available", name, require_restart=False)["changed"]
    check(whole, since, before, [], plan(whole))


def write_tasks(path, *tasks):
    path.write_text(yaml.safe_dump([{"name": "Do it", **task} for task in tasks]))
    return str(path)


def note(path, words):
    return {"ansible.builtin.shell": {"cmd": f"echo '{words}' >> {path}"}, "changed_when": True}


def test_the_role_calls_the_users_tasks_before_and_after_each_batch_and_to_restart_the_hosts(whole, tmp_path):
    log = tmp_path / "log"
    batch = "{{ node_restart_batch | join(' ') }}"
    reboot = {
        "ansible.builtin.command": {"argv": ["{{ ansible_playbook_python }}", "-m", "lab", "exec", "{{ item }}"]},
        "loop": "{{ node_restart_batch }}",
        "changed_when": True,
    }
    reboot["ansible.builtin.command"]["argv"] += REBOOT
    since, before = now(), boot_ids(whole)
    run = play(
        whole,
        "restart_nodes",
        **as_role(nodes=["worker-0", "worker-1"]),
        node_restart_before_batch_tasks=write_tasks(tmp_path / "before.yml", note(log, f"before {batch}")),
        node_restart_after_batch_tasks=write_tasks(tmp_path / "after.yml", note(log, f"after {batch}")),
        node_restart_tasks=write_tasks(tmp_path / "restart.yml", note(log, f"restart {batch}"), reboot),
        node_restart_failure_tasks=write_tasks(tmp_path / "failure.yml", note(log, "failed")),
    )
    run.finish()
    assert log.read_text().splitlines() == [f"{when} {n}" for n in before if n.startswith("w") for when in WHEN]
    check(whole, since, before, ["worker-0", "worker-1"], plan(whole))
    assert read_record(whole) is None
    run.log.unlink()


WHEN = ["before", "restart", "after"]


def test_the_role_calls_the_users_tasks_after_a_failure(whole, tmp_path):
    whole.command("fault", "worker-0", "ignore-reboot")
    log = tmp_path / "log"
    before = boot_ids(whole)
    run = play(
        whole,
        "restart_nodes",
        **as_role(nodes=["worker-0"], restart_timeout=30),
        node_restart_failure_tasks=write_tasks(tmp_path / "failure.yml", note(log, "{{ node_restart_result.msg }}")),
    )
    assert run.process.wait(timeout=300) != 0
    words = log.read_text().strip()
    assert words.startswith("1 node(s) failed: worker-0: after 30 s: asked to restart at "), run.output()[-3000:]
    assert f"it is Ready, and its boot ID is still {before['worker-0']}" in words
    assert words in " ".join(run.output().split())
    run.log.unlink()


def test_the_role_goes_on_after_a_failure_that_may_be_and_fails_at_its_end(whole, tmp_path):
    """The user's own tasks do not restart the first host."""
    reboot = {
        "ansible.builtin.command": {
            "argv": ["{{ ansible_playbook_python }}", "-m", "lab", "exec", "{{ item }}", *REBOOT]
        },
        "loop": "{{ node_restart_batch | difference(['worker-0']) }}",
        "changed_when": True,
    }
    log, since, before = tmp_path / "log", now(), boot_ids(whole)
    run = play(
        whole,
        "restart_nodes",
        **as_role(nodes=["worker-0", "worker-1"], restart_timeout=60, max_failures=1, on_failure="put_back"),
        node_restart_tasks=write_tasks(tmp_path / "restart.yml", reboot),
        node_restart_failure_tasks=write_tasks(tmp_path / "failure.yml", note(log, "failed")),
    )
    assert run.process.wait(timeout=600) != 0
    words = " ".join(run.output().split())
    assert "1 node(s) failed: worker-0. Mend them and run it again: it goes on where it stopped." in words, words[
        -4000:
    ]
    assert log.read_text() == "failed\n"
    check(whole, since, before, ["worker-1"], plan(whole))
    run.log.unlink()


def test_the_roles_check_mode_shows_the_plan_only(whole):
    since = now()
    run = play(whole, "restart_nodes", "--check", **as_role())
    output = run.finish()
    shown = output.partition("Nodes to restart, in this order")[2].partition("Note (")[0]
    order = [line.strip('", ') for line in shown.splitlines()[1:]]
    assert [name for name in order if name] == ["worker-0", "worker-1", "master-0", "master-1", "master-2"]
    assert not find_writes(whole.audit_events(since))
    run.log.unlink()


def test_a_refusal_after_the_plan_fails_the_play(whole):
    since = now()
    hour = datetime.now(timezone.utc) + timedelta(hours=2)
    run = play(whole, "restart_nodes", **as_role(window=f"{hour:%H:%M}-{hour + timedelta(hours=1):%H:%M}"))
    assert run.process.wait(timeout=300) != 0
    assert "No node was touched: " in run.output(), run.output()[-3000:]
    assert not [deed for deed in read_deeds(whole.audit_events(since)) if deed.is_ours]
    run.log.unlink()


def test_what_a_run_that_was_killed_at_its_end_has_left_is_removed(whole):
    """Its nodes are done, and neither its record nor the namespace of its restart pods is gone."""
    result = restart(whole, "worker-0", run_id="killed")
    assert result["nodes"][0]["outcome"] == "done", result
    record = {**read_record(whole), "is_named": False}
    whole.api.merge(RECORD, {"data": {"nodes.json": json.dumps(record)}})
    labels = {"app.kubernetes.io/managed-by": "bound_tokens.openshift"}
    whole.api.create_missing("/api/v1/namespaces", {"metadata": {"name": RESTART_NAMESPACE, "labels": labels}})
    since, before = now(), boot_ids(whole)
    run = play(whole, "restart_nodes", **as_role(nodes=["worker-0"]))
    run.finish()
    check(whole, since, before, [], plan(whole))
    assert read_record(whole) is None
    run.log.unlink()
