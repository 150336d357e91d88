# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuers of the lab's cluster: how they are set and waited for, which are trusted, and what tokens of theirs are worth."""

from __future__ import annotations

import json
import sys
import time

from modules import run_module

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
