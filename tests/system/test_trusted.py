# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of trusted issuers against real API servers: poison and its repair, revocation, the window."""

from __future__ import annotations

import json
import sys
import time

import pytest
from lab.api import ApiError
from modules import run_module

pytestmark = pytest.mark.slow

OPERATOR = "/apis/operator.openshift.io/v1/kubeapiservers/cluster"
#: Tells with which status each API server answers a request with the token on standard input.
TRY_TOKEN = """
import json, ssl, sys, urllib.error, urllib.request
ca, *addresses = sys.argv[1:]
token, found = sys.stdin.read(), []
for address in addresses:
    url = f"https://{address}:6443/apis/authentication.k8s.io/v1"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca), timeout=10) as answer:
            found.append(answer.status)
    except urllib.error.HTTPError as error:
        found.append(error.code)
print(json.dumps(found))
"""


def fresh(name):
    return f"https://{name}-{time.time_ns()}.example.test"


def set_issuer(lab, issuer, **more):
    return run_module("service_account_issuer", kubeconfig=lab.kubeconfig, issuer=issuer, documents="skip", **more)


def wait(lab, issuer):
    result = run_module(
        "kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, wait_sleep=1, wait_timeout=600
    )
    assert result["rollout"]["complete"], result
    return result["rollout"]


def trusted(lab):
    return [i["name"] for i in lab.kube_apiserver()["status"]["serviceAccountIssuers"]]


def eventually(probe, seconds=60):
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def new_token(lab):
    answer = lab.api.request(
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}},
    )
    return answer["status"]["token"]


def try_token(lab, token):
    answer = lab.command(
        *("exec", "hub", sys.executable, "-c", TRY_TOKEN, str(lab.settings.pki / "ca.crt")),
        *(m.address for m in lab.settings.masters),
        input=token,
        capture_output=True,
        text=True,
    )
    return json.loads(answer.stdout)


def at_rest(lab):
    """A cluster without poison or a rollout, with room for some issuers; what it takes is done. Returns the issuer."""
    asked = lab.api.get("/apis/config.openshift.io/v1/authentications/cluster")["spec"].get("serviceAccountIssuer")
    issuer = asked if (asked or "").startswith("https://") else fresh("quiet")
    result = set_issuer(lab, issuer, repair_trusted=True)
    assert not result.get("failed"), result
    wait(lab, issuer)
    if len(trusted(lab)) > 6:
        assert set_issuer(lab, issuer, revoke_former=True)["changed"]
        wait(lab, issuer)
    return issuer


@pytest.fixture
def quiet(lab):
    """The issuer of a cluster at rest, before and after, whatever the test leaves behind."""
    yield at_rest(lab)
    at_rest(lab)


def test_an_issuer_that_is_refused_now_would_be_poison_later(lab, quiet):
    """Somebody set a malformed issuer by hand; the module changes it without poisoning the next revision."""
    lab.set_issuer("http://x y")
    eventually(lambda: trusted(lab)[0] == "http://x y")
    wanted = fresh("healed")
    refused = set_issuer(lab, wanted)
    assert refused["failed"]
    assert "have it removed with repair_trusted: true" in refused["msg"]
    assert trusted(lab)[0] == "http://x y"
    planned = set_issuer(lab, wanted, repair_trusted=True, check_mode=True)
    assert planned["changed"]
    assert [r["name"] for r in planned["removed"]] == ["http://x y"]
    assert trusted(lab)[0] == "http://x y"
    result = set_issuer(lab, wanted, repair_trusted=True)
    assert [r["name"] for r in result["removed"]] == ["http://x y"]
    assert trusted(lab) == [wanted, *[n for n in trusted(lab)[1:] if n != "http://x y"]]
    wait(lab, wanted)
    assert lab.issuers_of_each_server() == [wanted] * 3


def test_poison_that_has_stopped_a_rollout_is_removed(lab, quiet):
    """As in the recording: 'http://x y', then a good issuer by hand; the first API server does not start."""
    lab.set_issuer("http://x y")
    eventually(lambda: trusted(lab)[0] == "http://x y")
    lab.set_issuer(wanted := fresh("stuck"))

    def is_stuck():
        conditions = {c["type"]: c for c in lab.kube_apiserver()["status"]["conditions"]}
        return "CrashLoopBackOff" in conditions["StaticPodsDegraded"].get("message", "")

    eventually(is_stuck, 180)
    others = [n for n in trusted(lab) if n != "http://x y"]
    result = set_issuer(lab, wanted, repair_trusted=True)
    assert result["changed"], result
    assert [(r["name"], r["expires"] is None) for r in result["removed"]] == [("http://x y", False)]
    assert trusted(lab) == others
    wait(lab, wanted)
    assert lab.issuers_of_each_server() == [wanted] * 3
    assert set_issuer(lab, wanted, repair_trusted=True)["changed"] is False


def test_a_status_that_somebody_else_writes_is_not_overwritten(lab, quiet):
    found = lab.kube_apiserver()
    lab.api.merge(OPERATOR, {"metadata": {"annotations": {"touched": str(time.time_ns())}}})
    stale = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "status": {}}
    with pytest.raises(ApiError, match="409"):
        lab.api.merge(f"{OPERATOR}/status", stale)


def test_the_window_is_told_by_the_clusters_clock(lab, quiet):
    if trusted(lab) == [quiet]:
        set_issuer(lab, quiet := fresh("window"))
        wait(lab, quiet)
    info = run_module("service_account_issuer_info", kubeconfig=lab.kubeconfig, probe=True)["issuer"]
    assert info["former"]
    first = min(f["expires"] for f in info["former"])
    assert info["next_rollout_at"] == first
    assert info["seconds_left"] == min(f["seconds_left"] for f in info["former"])
    assert 0 < info["seconds_left"] <= 86400
    assert info["read_at"] < first
    assert info["discovery_issuer"] == info["token_issuer"] == quiet
    assert info["key_ids"] == [info["token_key_id"]]
    assert info["keys_agree"] is True
    assert info["trusts_former"] is True


def test_revoked_tokens_are_refused_by_every_server(lab, quiet):
    old = new_token(lab)
    set_issuer(lab, wanted := fresh("revoke"))
    assert set_issuer(lab, fresh("never"), revoke_former=True)["failed"]
    early = set_issuer(lab, wanted, revoke_former=True)
    assert early["msg"].startswith(f"No former issuer was revoked, because the rollout to the issuer {wanted} is not c")
    assert quiet in trusted(lab)
    wait(lab, wanted)
    assert try_token(lab, old) == [200, 200, 200]
    before = lab.kube_apiserver()["status"]["latestAvailableRevision"]
    planned = set_issuer(lab, wanted, revoke_former=True, check_mode=True)
    assert quiet in [r["name"] for r in planned["removed"]]
    assert quiet in trusted(lab)
    result = set_issuer(lab, wanted, revoke_former=True)
    assert result["changed"]
    assert trusted(lab) == [wanted]
    assert wait(lab, wanted)["revision"] > before
    assert try_token(lab, old) == [401, 401, 401]
    assert try_token(lab, new_token(lab)) == [200, 200, 200]
    assert set_issuer(lab, wanted, revoke_former=True)["changed"] is False
    info = run_module("service_account_issuer_info", kubeconfig=lab.kubeconfig)["issuer"]
    assert (info["former"], info["next_rollout_at"], info["seconds_left"]) == ([], None, None)
