# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients with dead tokens, found in the audit logs of real API servers as kubelets serve them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jwt
import pytest
from modules import run_module

#: Asks one API server after the other, from whatever network it runs in, with the token on standard input.
LOOP = """
import contextlib, itertools, ssl, sys, time, urllib.error, urllib.request
ca, agent, pause, *addresses = sys.argv[1:]
token, context = sys.stdin.read(), ssl.create_default_context(cafile=ca)
for address in itertools.cycle(addresses):
    url = f"https://{address}:6443/api/v1/namespaces/default/configmaps/settings"
    headers = {"Authorization": f"Bearer {token}", "User-Agent": agent}
    with contextlib.suppress(urllib.error.URLError):
        urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=context, timeout=10)
    time.sleep(float(pause))
"""
POD = {
    "metadata": {"name": "agent"},
    "spec": {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "main",
                "image": "lab.local/shell:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "1000000"],
            }
        ],
    },
}
PODS = "/api/v1/namespaces/default/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
#: Hours of history that a log gets in front of what the lab's own short life has written.
HISTORY = 6
#: What is different in the event of a request with a dead token.
REFUSED = {
    "stage": "ResponseStarted",
    "user": {},
    "sourceIPs": ["192.0.2.9"],
    "userAgent": "once/1",
    "responseStatus": {
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    },
}
#: A loop must be seen in this many different minutes, which is what the fixture waits for.
SHORT = {"loop_minutes": 2}


def format_moment(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def look(lab, **more):
    result = run_module("rejected_requests_info", **{"kubeconfig": lab.kubeconfig, **more})
    assert not result.get("failed"), result
    return result["rejected_requests"], result["explanation"]


def dead_token(lab):
    """A token such as the cluster issued when its issuer was another one, which it does not trust any more."""
    claims = {
        "iss": "https://former.example.test",
        "sub": "system:serviceaccount:default:default",
        "aud": ["https://former.example.test"],
        "exp": int(time.time()) + 86400,
    }
    return jwt.encode(claims, (lab.settings.pki / "sa.key").read_text(), algorithm="RS256")


def find_process(text):
    """A process that a container of the pod with this UID runs."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*/cgroup"):
            try:
                if text in path.read_text():
                    return path.parent.name
            except OSError:
                continue
        time.sleep(0.2)
    raise AssertionError(f"no process of {text}")


def start_loop(lab, network, agent, pause):
    command = [
        *("nsenter", f"--net=/proc/{network}/ns/net", sys.executable, "-c", LOOP),
        *(str(lab.settings.pki / "ca.crt"), agent, str(pause), *(m.address for m in lab.settings.masters)),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    process.stdin.write(dead_token(lab))
    process.stdin.close()
    return process


@pytest.fixture(scope="module")
def loops(lab):
    """The moment since which a pod and a process on a node use dead tokens again and again, now in their second minute."""
    lab.api.create_missing("/api/v1/namespaces/default/pods", POD)
    uid = lab.api.get(f"{PODS}/agent")["metadata"]["uid"]
    node = (lab.settings.run / "nodes" / "worker-1" / "init.pid").read_text().strip()
    begin = datetime.now(timezone.utc).replace(microsecond=0)
    processes = [start_loop(lab, find_process(uid), "agent/1.4", 2), start_loop(lab, node, "node-agent/2.0", 5)]
    time.sleep(max(0.0, 125 - (datetime.now(timezone.utc) - begin).total_seconds()))
    yield begin
    for process in processes:
        process.kill()
        process.wait()
    lab.api.request("DELETE", f"{PODS}/agent")


def log_folder(lab, node):
    return lab.settings.run / "nodes" / node / "var/log/kube-apiserver"


def first_event(lab, node):
    with (log_folder(lab, node) / "audit.log").open() as file:
        return json.loads(file.readline())


@pytest.fixture(scope="module")
def history(lab):
    """The moment to which all logs reach back: each has a file that was rotated when the lab began, with requests that were
    answered, one a second, and one client that was refused for a while. Returns the moment and the bytes of each file."""
    firsts = {m.name: first_event(lab, m.name) for m in lab.settings.masters}
    ends = {n: moment_of(e["stageTimestamp"]) - timedelta(milliseconds=1) for n, e in firsts.items()}
    begin, paths = min(ends.values()) - timedelta(hours=HISTORY), []
    for name, end in ends.items():
        path = log_folder(lab, name) / f"audit-{end:%Y-%m-%dT%H-%M-%S}.{end.microsecond // 1000:03d}.log"
        with path.open("w") as file:
            for second in range(int((end - begin).total_seconds()) + 1):
                written_at = {"stageTimestamp": format_moment(begin + timedelta(seconds=second))}
                file.write(json.dumps({**firsts[name], **written_at}, separators=(",", ":")) + "\n")
                if second % 60 == 0 and second < 3600:
                    file.write(json.dumps({**firsts[name], **REFUSED, **written_at}, separators=(",", ":")) + "\n")
        paths.append(path)
    yield begin, {master.name: path.stat().st_size for master, path in zip(lab.settings.masters, paths, strict=True)}
    for path in paths:
        path.unlink()


def moment_of(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_healthy_cluster(lab, history):
    """Rotated files are read as well as the one that is written, and who was refused hours ago is in no loop."""
    begin, sizes = history
    found, explanation = look(lab, since=format_moment(begin + timedelta(seconds=1)))
    assert found["in_loop"] is False, explanation
    assert explanation.endswith("by the audit logs of master-0, master-1, master-2.")
    once = next(c for c in found["clients"] if c["user_agent"] == "once/1")
    assert (once["count"], once["in_loop"]) == (59 * 3, False)
    assert all(s["bytes_read"] > sizes[s["name"]] - 100_000 for s in found["servers"])


def test_a_start_is_found_without_reading_what_comes_before(lab, history):
    since = min(moment_of(first_event(lab, m.name)["stageTimestamp"]) for m in lab.settings.masters) - timedelta(
        minutes=20
    )
    found, explanation = look(lab, since=format_moment(since))
    assert found["in_loop"] is False, explanation
    for server in found["servers"]:
        own = (log_folder(lab, server["name"]) / "audit.log").stat().st_size
        assert server["covered_since"] == since.strftime("%Y-%m-%dT%H:%M:%SZ")
        size = history[1][server["name"]]
        # the minutes since, one more, and what halving needs
        assert size * 20 / 360 < server["bytes_read"] < own + size * 24 / 360 + 700_000


def test_what_the_logs_do_not_reach_is_unknown(lab, history):
    begin, _sizes = history
    found, explanation = look(lab, since=format_moment(begin - timedelta(hours=1)))
    assert found["in_loop"] is None
    assert re.search(
        r"unknown, because the audit log of master-0 reaches back to \S+Z only; the audit log of m", explanation
    )
    assert all(moment_of(s["covered_since"]) >= begin - timedelta(minutes=5) for s in found["servers"])


def test_what_is_too_much_to_read_is_unknown(lab, history):
    found, explanation = look(lab, since=format_moment(history[0]), max_bytes="1M")
    assert found["in_loop"] is None
    assert "max_bytes allows to read the audit log of master-0 from" in explanation
    assert all(s["bytes_read"] < 1_048_576 + 700_000 for s in found["servers"])


def test_a_caller_who_may_not_read_the_logs_is_told_the_permission(lab):
    rules = [
        {"apiGroups": ["operator.openshift.io"], "resources": ["kubeapiservers"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps", "nodes"], "verbs": ["get", "list"]},
    ]
    lab.api.create_missing(f"{RBAC}/clusterroles", {"metadata": {"name": "no-logs"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "no-logs"}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}
    binding = {"metadata": {"name": "no-logs"}, "roleRef": role, "subjects": [user]}
    lab.api.create_missing(f"{RBAC}/clusterrolebindings", binding)
    since = format_moment(datetime.now(timezone.utc) - timedelta(hours=1))
    found, explanation = look(lab, since=since, impersonate_user="somebody")
    assert found["in_loop"] is None
    assert len(found["problems"]) == 3
    assert (
        'could not list /var/log/kube-apiserver/ of nodes/master-0: nodes "master-0" is forbidden: User "somebody" cannot get '
        'resource "nodes/proxy" in API group "" at the cluster scope; ask a cluster administrator for this permission'
    ) in explanation


def test_without_a_moment_or_a_record_nothing_is_known(lab):
    found, explanation = look(lab, record_namespace="nobody-was-here")
    assert (found["in_loop"], found["since"]) == (None, None)
    assert explanation.startswith(
        "Whether anything is refused with 401 in a loop is unknown, because neither since nor"
    )


def test_a_moment_that_is_none(lab):
    result = run_module("rejected_requests_info", kubeconfig=lab.kubeconfig, since="yesterday")
    assert result["msg"] == (
        "The option since is 'yesterday', which is not a moment in RFC 3339; give one such as 2026-11-22T08:02:31Z."
    )


def test_a_pod_and_a_process_of_a_node_are_named(lab, loops):
    found, explanation = look(lab, since=format_moment(loops), **SHORT)
    assert found["in_loop"] is True, explanation
    assert found["problems"] == []
    clients = {c["user_agent"]: c for c in found["clients"]}
    agent, node_agent = clients["agent/1.4"], clients["node-agent/2.0"]
    assert agent["pod"] == {"namespace": "default", "name": "agent"}
    assert agent["source_ip"] == lab.api.get(f"{PODS}/agent")["status"]["podIP"]
    assert agent["count"] > 30
    assert agent["example"]["path"] == "/api/v1/namespaces/default/configmaps/settings"
    assert (node_agent["pod"], node_agent["node"], node_agent["in_loop"]) == (None, "worker-1", True)
    assert "pod default/agent (" in explanation
    assert "node-agent/2.0 from the network of node worker-1" in explanation


def test_the_usual_definition_waits_for_more(lab, loops):
    found, explanation = look(lab, since=format_moment(loops))
    assert found["in_loop"] is None
    assert re.search(r"is unknown, because a loop shows after 10 minutes, and it is \S+ now\.$", explanation)
    assert {c["user_agent"] for c in found["clients"]} >= {"agent/1.4", "node-agent/2.0"}
    assert not any(c["in_loop"] for c in found["clients"])
