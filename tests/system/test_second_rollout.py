# SPDX-License-Identifier: GPL-3.0-or-later
"""A day after the edit the operator drops the former issuer, and every kube-apiserver is rolled out once more.

The day ends when a test says so: it writes the moment into the operator's own list, and the operator does the rest.
"""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from interruptions import later, now, plan_rotation, read_deeds, read_requests, rotate
from issuers import at_rest, fresh, new_token, set_issuer, trusted, try_token, wait
from labs import eventually
from modules import run_module

pytestmark = pytest.mark.slow


def cluster_time(seconds=0):
    """The moment in so many seconds as the API writes it; the lab's clock is this machine's."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def end_trust(lab, seconds=0):
    """The day of the former issuers is over in so many seconds; returns the moment as the API writes it."""
    moment = cluster_time(seconds)
    active, *former = lab.kube_apiserver()["status"]["serviceAccountIssuers"]
    assert former
    lab.trust_only(active, *({**entry, "expirationTime": moment} for entry in former))
    return moment


def read_info(lab):
    return run_module("service_account_issuer_info", kubeconfig=lab.kubeconfig, probe=True)["issuer"]


def verify(lab, issuer):
    """The exit status and the output, in one line, of the check on the day after."""
    given = {"rotation_issuer": issuer, "pod_restart_namespaces": ["shop", "shop-agents"]}
    command = ["ansible-playbook", "bound_tokens.openshift.rotate", "--tags", "verify", "-e", json.dumps(given)]
    done = subprocess.run(command, env=lab.environment, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def former(lab):
    """The issuer of a cluster at rest."""
    return at_rest(lab)


def test_the_day_after(lab, former):
    issuer, token = fresh("day"), new_token(lab)
    plan_rotation(lab)
    run = rotate(lab, issuer)
    run.finish()
    run.log.unlink()
    first = wait(lab, issuer)

    before = read_info(lab)
    assert former in [entry["name"] for entry in before["former"]]
    assert before["next_rollout_at"] == min(entry["expires"] for entry in before["former"])
    assert before["seconds_left"] > 0
    status, output = verify(lab, issuer)
    assert status != 0
    assert f"The rotation to {issuer} is not complete: All 3 kube-apiservers run revision {first['revision']}" in output
    assert f"Still trusted: {', '.join(trusted(lab)[1:])}, until {before['former_trusted_until']}." in output
    assert "Pods left: 0." in output
    assert try_token(lab, token) == [200, 200, 200]

    moment = end_trust(lab, 30)
    assert read_info(lab)["next_rollout_at"] == moment
    assert 0 < read_info(lab)["seconds_left"] <= 30
    eventually(lambda: trusted(lab) == [issuer], 90)
    refused = run_module("pod_restart", kubeconfig=lab.kubeconfig, namespaces=["shop"], started_before=moment)
    assert refused["msg"].startswith(
        "No pod was renewed, because the rollout of the kube-apiservers is not finished: "
    ), refused
    second = wait(lab, issuer)
    assert lab.trusted_by_each_server() == [[issuer]] * 3
    assert lab.is_rolled_out(issuer)
    assert second["revision"] > first["revision"]
    assert try_token(lab, token) == [401, 401, 401]
    assert try_token(lab, new_token(lab)) == [200, 200, 200]
    after = read_info(lab)
    assert (after["former"], after["next_rollout_at"], after["seconds_left"]) == ([], None, None)
    assert (after["active"], after["token_issuer"], after["keys_agree"]) == (issuer, issuer, True)
    status, output = verify(lab, issuer)
    assert status == 0, output[-3000:]
    assert f"The rotation to {issuer} is complete: it is the only issuer that is trusted" in output
    assert f"every kube-apiserver is at revision {second['revision']}" in output


def test_a_wait_begun_in_the_moment_in_which_the_former_issuer_is_dropped(lab, former):
    set_issuer(lab, issuer := fresh("moment"))
    first = wait(lab, issuer)
    lab.trust_only({"name": issuer})
    observed = lab.kube_apiserver()["spec"]["observedConfig"]["apiServerArguments"]["service-account-issuer"]
    assert observed != [issuer], "the trap this test is about was not there"
    second = wait(lab, issuer)
    assert lab.trusted_by_each_server() == [[issuer]] * 3
    assert second["revision"] > first["revision"]


def test_a_wait_that_the_second_rollout_meets_ends_after_it(lab, former):
    """Once in the middle of the first rollout, and once in the seconds for which success must hold."""
    set_issuer(lab, issuer := fresh("middle"))
    eventually(lambda: any(n.get("targetRevision") for n in lab.kube_apiserver()["status"]["nodeStatuses"]))
    end_trust(lab)
    eventually(lambda: trusted(lab) == [issuer])
    wait(lab, issuer)
    assert lab.trusted_by_each_server() == [[issuer]] * 3

    set_issuer(lab, issuer := fresh("stable"))
    first = wait(lab, issuer)
    end_trust(lab, 10)
    given = {"kubeconfig": lab.kubeconfig, "issuer": issuer, "wait_sleep": 1, "wait_timeout": 600}
    second = run_module("kube_apiserver_rollout", **given, stable_seconds=30, operators=True)["rollout"]
    assert second["complete"], second
    assert lab.trusted_by_each_server() == [[issuer]] * 3
    assert second["revision"] > first["revision"]


def test_a_renewal_pauses_while_the_second_rollout_runs(lab, former):
    set_issuer(lab, issuer := fresh("pause"))
    wait(lab, issuer)
    pods, begin = plan_rotation(lab), now()
    given = {"namespaces": ["shop", "shop-agents"], "started_before": cluster_time(1), "wait_sleep": 1}
    renewal = lab.begin_module("pod_restart", **given)
    said = next((line for line in renewal.stdout if "5 pod(s) to renew" in line), "")
    lab.trust_only({"name": issuer})  # the operator's own write, which could come too late for this
    dropped = now()
    output, _nothing = renewal.communicate(timeout=600)
    assert (bool(said), renewal.returncode) == (True, 0), output
    assert lab.trusted_by_each_server() == [[issuer]] * 3
    evictions = [d for d in read_deeds(lab, begin) if d[1] == "pods/eviction"]
    assert sorted((n, name) for _moment, _what, n, name in evictions) == sorted(
        (p["namespace"], p["name"]) for p in pods
    )
    conditions = {c["type"]: c for c in lab.kube_apiserver()["status"]["conditions"]}
    ended = later(conditions["NodeInstallerProgressing"]["lastTransitionTime"], 0)  # written as the audit logs write it
    assert ended > begin, "the second rollout did not begin"
    assert "paused: a rollout of the kube-apiservers has begun: " in output
    looks = [
        event["requestReceivedTimestamp"]
        for event in read_requests(lab, dropped)
        if (event.get("objectRef") or {}).get("resource") == "kubeapiservers"
    ]
    moments = [moment for moment, *_what in evictions]
    assert [m for m in moments if min(looks) < m < ended] == []
    assert moments[-1] > ended


def test_the_proof_of_a_rotation_waits_for_a_rollout_that_begins_before_it(lab, former):
    plan_rotation(lab)
    run = rotate(lab, issuer := fresh("proof"))
    assert run.wait_for("TASK [bound_tokens.openshift.rotation : Re-create the pods with projected tokens"), (
        run.output()
    )
    lab.trust_only({"name": issuer})
    first = run_module("rotation_record", kubeconfig=lab.kubeconfig, state="shown")["run"]["finished_at"]
    output = run.finish()
    proof = output.partition("TASK [bound_tokens.openshift.rotation : Prove the renewal")[2]
    assert "nodes are at revision" in proof.partition("Ask for a new token's issuer")[0], proof[:3000]
    assert lab.trusted_by_each_server() == [[issuer]] * 3
    last = run_module("rotation_record", kubeconfig=lab.kubeconfig, state="shown")["run"]
    assert (last["finished_at"], last["phase"]) == (first, "done")
    run.log.unlink()
