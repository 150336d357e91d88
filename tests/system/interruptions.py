# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations that are killed at random moments, and what the API servers' audit logs say of them afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pod_audit
from lab import apply, images
from lab.api import ApiError
from labs import ROOT, USER_AGENT, eventually
from modules import run_module

WORKLOADS = ROOT / "tests/demo/workloads.yml"
NAMESPACES = ("shop", "shop-agents")
#: What has been sent when the parent dies may be logged a moment later.
IN_FLIGHT = 1.0
#: From the beginning of a task, within so many seconds: the long ones are hit more often than by chance alone.
MOMENTS = [
    ("PLAY [", 25),
    ("TASK [bound_tokens.openshift.rotation : Begin the run", 4),
    ("TASK [bound_tokens.openshift.service_account_issuer : Set", 4),
    ("TASK [bound_tokens.openshift.service_account_issuer : Wait", 70),
    ("TASK [bound_tokens.openshift.pod_restart : Renew pods", 20),
    ("TASK [bound_tokens.openshift.pod_restart : Renew pods", 20),
    ("TASK [bound_tokens.openshift.rotation : Prove the renewal", 10),
]
VICTIMS = ["playbook", "group", "all"]
#: In one rotation: after more, the work is done and only runs that find nothing to do would be killed.
MOST_KILLS = 5
#: By which methods the pods are renewed; a pod without a controller is among them.
METHODS = ["evict", "rollout", "auto"]
RENEWAL = {"recreate_bare_pods": True, "allow_disruption": True}
LONELY = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "lonely", "namespace": "shop"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {"name": "main", "image": images.SHELL, "imagePullPolicy": "Never", "command": ["sleep", "1000000"]}
        ],
    },
}
#: Few names, so that rotations go back to issuers that are still trusted, and never to an eleventh.
ISSUERS = [f"https://killed-{letter}.example.test" for letter in "abcd"]


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parents():
    """The parent of each process that lives."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found[int(path.parent.name)] = int(fields[1])
    return found


def descendants(pid):
    """The processes below ``pid``."""
    tree, found = parents(), [pid]
    for process in found:
        found += [child for child, parent in tree.items() if parent == process]
    return found[1:]


@dataclass
class Play:
    """ansible-playbook at work, in a session of its own."""

    process: subprocess.Popen
    log: Path

    def output(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, words, timeout=600):
        """True as soon as the output has these words; False when it ended without them."""
        deadline = time.monotonic() + timeout
        while words not in self.output():
            if self.process.poll() is not None:
                return words in self.output()
            assert time.monotonic() < deadline, self.output()[-3000:]
            time.sleep(0.05)
        return True

    def finish(self, timeout=900):
        assert self.process.wait(timeout=timeout) == 0, self.output()[-6000:]
        return self.output()

    def kill(self, victim, *, is_patient):
        """Kill ansible-playbook, its process group, or all that it has started.

        Return the moment of the kill and, when patient, the one at which the last of its processes had ended.
        """
        below = descendants(self.process.pid)
        if victim == "group":
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        if victim == "all":
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        killed = now()
        self.process.wait()
        deadline = time.monotonic() + 60
        while is_patient and set(below) & parents().keys():
            assert time.monotonic() < deadline, "an orphan lives on"
            time.sleep(0.05)
        return killed, now()


def play(lab, playbook, *arguments, **variables):
    """Start one of the collection's playbooks."""
    log = Path(tempfile.mkstemp(prefix=f"{playbook}-", suffix=".log")[1])
    with log.open("w") as output:
        process = subprocess.Popen(
            ["ansible-playbook", f"bound_tokens.openshift.{playbook}", "-e", json.dumps(variables), *arguments],
            env=lab.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Play(process, log)


def rotate(lab, issuer, **variables):
    """Start a rotation."""
    variables = {
        "rotation_issuer": issuer,
        "service_account_issuer_wait_sleep": 1,
        "pod_restart_wait_sleep": 1,
        "pod_restart_namespaces": list(NAMESPACES),
        "service_account_issuer_documents": "skip",
        **variables,
    }
    return play(lab, "rotate", **variables)


def read_pods(lab):
    return [pod for n in NAMESPACES for pod in lab.api.items(f"/api/v1/namespaces/{n}/pods")]


def plan_rotation(lab, method="evict", *, has_bare_pod=False):
    """What a rotation has to renew, and by which way, as pod_restart tells it."""
    lab.command("apply", str(WORKLOADS), stdout=subprocess.DEVNULL)
    if has_bare_pod:
        apply.apply_objects(lab.settings, [LONELY])
    eventually(lambda: all(is_well(pod) for pod in read_pods(lab)))
    planned = run_module(
        "pod_restart",
        check_mode=True,
        kubeconfig=lab.kubeconfig,
        namespaces=list(NAMESPACES),
        started_before="9999-12-31T23:59:59Z",
        method=method,
        **(RENEWAL if has_bare_pod else {}),
    )
    assert "msg" not in planned, planned["msg"]
    return [p for p in planned["pods"] if p["outcome"] == "planned"]


def is_well(pod):
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    return ready and not pod["metadata"].get("deletionTimestamp")


def read_requests(lab, since):
    """Yield what the collection asked for since a moment, as the API servers logged the answers."""
    return (event for event in lab.audit_events(since) if event["userAgent"] == USER_AGENT)


def read_deeds(lab, since):
    """What the collection changed since a moment, as the API servers logged it: (moment, what, namespace, name)."""
    found = []
    for event in read_requests(lab, since):
        what = event.get("objectRef") or {}
        resource = "/".join(filter(None, (what.get("resource"), what.get("subresource"))))
        is_question = resource.startswith("selfsubject") or resource in ("serviceaccounts/token", "leases")
        if (
            event["verb"] not in ("get", "list", "watch")
            and event["responseStatus"]["code"] < 300
            and "dryRun" not in event["requestURI"]
            and not is_question
        ):
            found.append((event["requestReceivedTimestamp"], resource, what.get("namespace"), what.get("name")))
    return sorted(found)


def later(moment, seconds):
    parsed = datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() + seconds
    return datetime.fromtimestamp(parsed, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def kill_rotations(lab, chance, kills):
    """Kill each of VICTIMS ``kills`` times, in any order, in as many rotations as that takes. Prints what was done."""
    victims = chance.sample(VICTIMS * kills, len(VICTIMS) * kills)
    try:
        while victims:
            story = rotate_with_kills(lab, chance, next_issuer(lab), victims[:MOST_KILLS])
            print("; ".join(story))
            victims = victims[len(story) - 1 :]
    finally:
        with contextlib.suppress(ApiError):  # it would keep its node from being emptied in other tests
            lab.api.request("DELETE", "/api/v1/namespaces/shop/pods/lonely")


def next_issuer(lab):
    current = wanted_issuer(lab)
    return ISSUERS[(ISSUERS.index(current) + 1) % len(ISSUERS)] if current in ISSUERS else ISSUERS[0]


def wanted_issuer(lab):
    return lab.api.get("/apis/config.openshift.io/v1/authentications/cluster")["spec"].get("serviceAccountIssuer")


def rotate_with_kills(lab, chance, issuer, victims):
    """Kill run after run of one rotation at random moments, until one ends before its moment or no victim is left; then
    let one end, and hold the record and the audit logs against what must be.

    Returns the method and a line for each kill.
    """
    story, gaps = [], []
    method = chance.choice(METHODS)
    planned, begin = plan_rotation(lab, method, has_bare_pod=True), now()
    before = wanted_issuer(lab) or "https://kubernetes.default.svc"
    given = {"pod_restart_method": method, **{f"pod_restart_{name}": value for name, value in RENEWAL.items()}}
    story.append(method)
    moments = chance.choices(MOMENTS, k=len(victims))
    if chance.random() < 0.5:
        moments.sort(key=MOMENTS.index)  # each kill where there is still something to do
    run = rotate(lab, issuer, **given)
    for victim, (words, seconds) in zip(victims, moments, strict=True):
        pause, is_patient = chance.uniform(0, seconds), chance.random() < 0.7
        run.wait_for(words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(timeout=pause)
            break
        gap = run.kill(victim, is_patient=is_patient)
        gaps += [gap] if is_patient else []
        story.append(f"{victim} {pause:.1f} s after {words}{'' if is_patient else ', the next at once'}")
        run.log.unlink()
        run = rotate(lab, issuer, **given)
    output = run.finish()
    check(lab, planned, begin, gaps, story)
    assert f'Issuer before:  {before}"' in output, (story, output[-4000:])
    assert "unknown" not in output.partition("Kube-apiservers (complete since")[2].partition("Pods renewed")[0], story
    renewed = lab.api.get("/api/v1/namespaces/bound-tokens/configmaps/bound-tokens-run")["data"]["record.json"]
    counts = {n: p["renewed"] for n, p in json.loads(renewed)["namespaces"].items()}
    assert counts == dict(Counter(pod["namespace"] for pod in planned)), story
    run.log.unlink()
    return story


def check(lab, planned, begin, gaps, story):
    """Every old pod went exactly once, as planned, and no other; none before the rollout was proven; an orphan did nothing."""
    progressing = next(
        c for c in lab.kube_apiserver()["status"]["conditions"] if c["type"] == "NodeInstallerProgressing"
    )
    plan = pod_audit.plan_of(
        planned,
        read_pods(lab),
        limits=pod_audit.read_limits(lab, NAMESPACES),
        proven_at=progressing["lastTransitionTime"],
        may_evict=True,
    )
    done = pod_audit.read_deeds(lab.audit_events(begin), NAMESPACES)
    wrong = pod_audit.find_violations(done, plan)
    assert not wrong, (story, wrong)
    left = {p["uid"] for p in planned} & {p["metadata"]["uid"] for p in read_pods(lab)}
    assert not left, story
    kept = lab.api.items("/api/v1/namespaces/bound-tokens/secrets")
    assert not [s for s in kept if s["metadata"]["name"].startswith("bare-pod-")], story
    deeds = read_deeds(lab, begin)
    edits = [d for d in deeds if d[1] == "authentications"]
    assert len(edits) == 1, (story, edits)
    for killed, ended in gaps:
        late = [d for d in deeds if later(killed, IN_FLIGHT) < d[0] < ended]
        assert not late, (story, killed, late)
