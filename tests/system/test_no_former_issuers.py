# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that trusts no former issuer: it is told before, and every token dies with the change."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from issuers import fresh, new_token, set_issuer, try_token, wait
from lab.settings import Settings
from labs import free_port, running_lab
from modules import run_module

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def old_release():
    if os.geteuid() != 0:
        pytest.skip("real nodes need root")
    settings = Settings.from_environment()
    settings = replace(settings, name=f"{settings.name}-old", port=free_port())
    with running_lab("0:1", "--forget-former", settings) as found:
        yield found


def test_every_token_dies_with_the_change_and_that_is_told_before(old_release):
    lab, issuer = old_release, fresh("old")
    assert "serviceAccountIssuers" not in lab.kube_apiserver()["status"]
    token = new_token(lab)
    planned = set_issuer(lab, issuer, check_mode=True)
    former = planned["issuer"]["previous"]
    assert planned["preflight"] == [
        {
            "check": "trust",
            "blocking": False,
            "message": f"This release trusts no former issuer: every token of {former} dies with the change, and what "
            "holds one fails until it is renewed.",
        }
    ]
    assert set_issuer(lab, issuer)["changed"]
    wait(lab, issuer)
    assert try_token(lab, token) == [401, 401, 401]
    assert try_token(lab, new_token(lab)) == [200, 200, 200]
    info = run_module("service_account_issuer_info", kubeconfig=lab.kubeconfig, probe=True)["issuer"]
    assert (info["trusts_former"], info["active"], info["former"]) == (False, None, [])
    assert (info["token_issuer"], info["keys_agree"]) == (issuer, True)
    assert set_issuer(lab, issuer, revoke_former=True)["changed"] is False
