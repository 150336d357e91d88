# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of trusted issuers against real API servers: poison and its repair, revocation, the window."""

from __future__ import annotations

import time

import pytest
from issuers import at_rest, fresh, new_token, set_issuer, trusted, try_token, wait
from lab.api import ApiError
from labs import KUBE_APISERVER, eventually
from modules import run_module

pytestmark = pytest.mark.slow


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
    lab.api.merge(KUBE_APISERVER, {"metadata": {"annotations": {"touched": str(time.time_ns())}}})
    stale = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "status": {}}
    with pytest.raises(ApiError, match="409"):
        lab.api.merge(f"{KUBE_APISERVER}/status", stale)


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
