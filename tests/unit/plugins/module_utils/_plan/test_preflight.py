# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    Caller,
    Condition,
    Outcome,
    Permission,
    PreflightFacts,
    PublishedDocuments,
    RolloutVerdict,
    caller_of,
    issuer_facts,
    key_ids_of,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer import IssuerPlan
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.preflight import (
    CHECK_NAMES,
    CHECKS,
    judge_preflight,
)
from ansible_collections.bound_tokens.openshift.plugins.modules import service_account_issuer

A, B = "https://a.example", "https://b.example"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc)
EXPIRY = "2026-11-23T07:00:00Z"
QUIET = RolloutVerdict(outcome=Outcome.DONE, reason="Complete", message="All is done.")
RUNNING = RolloutVerdict(outcome=Outcome.WAITING, reason="NodesBehind", message="1 of 3 nodes are at revision 12.")
PATCH = Permission(verb="patch", group="config.openshift.io", resource="authentications")
BAD = Condition(status="True", message="x is wrong.")
GOOD = Condition(status="False")


def documents(**more):
    have = {
        "is_required": True,
        "issuer": B,
        "jwks_uri": f"{B}/keys",
        "key_ids": frozenset({"k1", "k2"}),
        "cluster_key_ids": frozenset({"k1"}),
        **more,
    }
    return PublishedDocuments(**have)


def caller(issuer=A, expires="2027-11-22T08:00:00+00:00"):
    return Caller(token_issuer=issuer, token_expires=expires and datetime.fromisoformat(expires))


UPDATING, BROKEN = {"worker": {"Updating": BAD, "Degraded": GOOD}}, {"master": {"Degraded": Condition(status="True")}}
#: Name, what differs from a quiet cluster, and each finding: its check, whether it blocks, and words that it holds.
TABLE = [
    ("nothing speaks against it", {}, []),
    ("not permitted", {"denied": (PATCH,)}, [("permissions", True, "to patch authentications.config.openshift.io.")]),
    ("a rollout runs", {"rollout": RUNNING}, [("quiet", True, "not finished: 1 of 3 nodes are at revision 12.")]),
    (
        "an operator is degraded",
        {"degraded": {"kube-apiserver": GOOD, "authentication": BAD}},
        [("quiet", True, "ClusterOperator authentication is degraded: x is wrong.")],
    ),
    ("operators are unknown", {"degraded": {"kube-apiserver": None}}, []),
    ("an update runs", {"progressing": BAD}, [("quiet", True, "The cluster is being updated: x is wrong.")]),
    ("no update runs", {"progressing": GOOD}, []),
    ("a pool is updating", {"pools": UPDATING}, [("quiet", True, "MachineConfigPool worker is updating its nodes: x")]),
    ("a pool is degraded", {"pools": BROKEN}, [("quiet", True, "MachineConfigPool master is degraded.")]),
    ("unmanaged", {"management_state": "Unmanaged"}, [("managed", True, "has managementState Unmanaged")]),
    ("force", {"management_state": "Force"}, []),
    (
        "overridden",
        {"overridden": frozenset({"api-audiences", "v"})},
        [("overrides", True, "sets apiServerArguments.api-audiences, which wins")],
    ),
    ("another argument is overridden", {"overridden": frozenset({"v"})}, []),
    (
        "one node",
        {"topology": "SingleReplica", "control_plane_nodes": 1},
        [("topology", False, "API is away for some")],
    ),
    ("one node, unsaid", {"control_plane_nodes": 1}, [("topology", False, "There is one control-plane node")]),
    ("hosted", {"topology": "External"}, [("topology", True, "set spec.issuerURL of its HostedCluster")]),
    ("documents are right", {"documents": documents()}, []),
    (
        "documents can't be read",
        {"documents": documents(problem="https://b.example/x answers HTTP 404")},
        [("documents", True, "could verify tokens of https://b.example: https://b.example/x answers HTTP 404.")],
    ),
    ("documents are a note", {"documents": documents(problem="x", is_required=False)}, [("documents", False, ": x.")]),
    (
        "another issuer",
        {"documents": documents(issuer=f"{B}/")},
        [("documents", True, "names the issuer 'https://b.ex")],
    ),
    ("no issuer", {"documents": documents(issuer=None)}, [("documents", True, "names the issuer None")]),
    (
        "http keys",
        {"documents": documents(jwks_uri="http://b/k")},
        [("documents", True, "'http://b/k', is not an https")],
    ),
    ("no keys", {"documents": documents(jwks_uri=7)}, [("documents", True, "7, is not an https URL")]),
    (
        "a key is missing",
        {"documents": documents(cluster_key_ids=frozenset({"k1", "k3"}))},
        [("documents", True, "https://b.example/keys lacks the cluster's signing keys k3.")],
    ),
    ("keys unknown", {"documents": documents(cluster_key_ids=None)}, [("documents", True, "does not tell its own")]),
    (
        "a token of the issuer that becomes a former one",
        {"caller": caller()},
        [("credential", False, "issuer https://a.example and stops being accepted at 2026-11-23T08:00:00Z, whatever")],
    ),
    (
        "one that expires before",
        {"caller": caller(expires="2026-11-22T09:00:00+00:00")},
        [("credential", False, "stops being accepted at 2026-11-22T09:00:00Z")],
    ),
    ("a token that does not expire", {"caller": caller(expires=None)}, [("credential", False, "2026-11-23T08:00:00Z")]),
    (
        "a token of a former issuer",
        {"caller": caller("https://f0.example"), "former": 1},
        [("credential", False, "issuer https://f0.example and stops being accepted at 2026-11-23T07:00:00Z")],
    ),
    ("a token of another kind", {"caller": caller("kubernetes/serviceaccount", None)}, []),
    (
        "a token that expires during the rollout",
        {"caller": caller(B, "2026-11-22T08:44:00+00:00")},
        [("credential", False, "expires at 2026-11-22T08:44:00Z, before a rollout of 45 minutes")],
    ),
    ("a token that expires after it", {"caller": caller(B, "2026-11-22T08:46:00+00:00")}, []),
    ("a client certificate", {"caller": Caller(username="admin")}, []),
    ("no place is left", {"former": 9}, [("room", True, "10 issuers are trusted already")]),
    ("back to a trusted one", {"former": 9, "wanted": "https://f3.example"}, []),
    ("one place is left", {"former": 8}, []),
    (
        "poison",
        {"entries": [{"name": A}, {"name": "http://x y", "expirationTime": EXPIRY}]},
        [("poison", True, "does not start, until 2026-11-23T07:00:00Z; have it removed with repair_trusted: true.")],
    ),
    (
        "active poison",
        {"entries": [{"name": "http://x y"}, {"name": A, "expirationTime": EXPIRY}]},
        [("poison", True, "does not start, for 24 hours after the change; have it removed")],
    ),
    (
        "poison is repaired, and what it has brought to a halt does not stop the repair",
        {
            "entries": [{"name": A}, {"name": "", "expirationTime": EXPIRY}],
            "repair": True,
            "rollout": RUNNING,
            "degraded": {"kube-apiserver": BAD, "authentication": BAD},
        },
        [
            ("quiet", False, "A rollout of the kube-apiservers is not finished"),
            ("quiet", False, "ClusterOperator kube-apiserver is degraded"),
            ("quiet", True, "ClusterOperator authentication is degraded"),
            ("poison", False, "The trusted issuer '' is empty; it is removed from the list."),
        ],
    ),
    (
        "the repair makes room",
        {"former": 8, "more": [{"name": "http://x y", "expirationTime": EXPIRY}], "repair": True},
        [("poison", False, "it is removed from the list")],
    ),
    ("repair without poison changes nothing", {"repair": True, "rollout": RUNNING}, [("quiet", True, "not finished")]),
    (
        "a release that trusts no former issuer",
        {"entries": [], "caller": caller()},
        [
            ("trust", False, "every token of https://a.example dies with the change"),
            ("credential", False, "stops being accepted with the change; use a kubeconfig with a client certificate"),
        ],
    ),
    (
        "all at once",
        {"denied": (PATCH,), "rollout": RUNNING, "topology": "External"},
        [("permissions", True, ""), ("topology", True, ""), ("quiet", True, "")],
    ),
    ("left out by name", {"denied": (PATCH,), "rollout": RUNNING, "skip": ["quiet"]}, [("permissions", True, "")]),
]


def judge(have):
    have = dict(have)
    entries = [{"name": A}]
    entries += [{"name": f"https://f{i}.example", "expirationTime": EXPIRY} for i in range(have.pop("former", 0))]
    entries = have.pop("entries", entries) + have.pop("more", [])
    facts = issuer_facts({"spec": {"serviceAccountIssuer": A}}, {"status": {"serviceAccountIssuers": entries}})
    plan = IssuerPlan(facts=facts, after=have.pop("wanted", B), repair=have.pop("repair", False))
    skip = have.pop("skip", [])
    return judge_preflight(plan, PreflightFacts(**{"rollout": QUIET, "now": NOW, **have}), skip=skip)


@pytest.mark.parametrize(("name", "have", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_preflight(name, have, expected):
    findings = judge(have)
    assert [(f.check, f.is_blocking) for f in findings] == [row[:2] for row in expected]
    for finding, (_check, _blocking, words) in zip(findings, expected, strict=True):
        assert words in finding.message
        assert finding.message.endswith(".")


@pytest.mark.parametrize("name", CHECK_NAMES)
def test_every_check_has_a_finding_in_the_table_and_can_be_left_out(name):
    rows = [have for _name, have, expected in TABLE if name in [row[0] for row in expected] and "skip" not in have]
    assert rows
    for have in rows:
        assert name not in [f.check for f in judge({**have, "skip": [name]})]


def test_the_module_offers_every_check():
    assert service_account_issuer.ARGUMENT_SPEC["skip_checks"]["choices"] == sorted(CHECKS)


def test_nothing_to_write_means_nothing_to_find():
    assert judge({"wanted": A, "rollout": RUNNING, "denied": (PATCH,), "former": 9}) == []


def test_the_caller_is_read_from_the_review_and_the_token():
    extra = {"authentication.kubernetes.io/pod-name": ["robot-0"], "authentication.kubernetes.io/pod-uid": ["u-1"]}
    review = {"status": {"userInfo": {"username": "system:serviceaccount:ci:robot", "extra": extra}}}
    found = caller_of(review, {"iss": A, "exp": 1795334400})
    assert (found.namespace, found.pod, found.pod_uid, found.token_issuer) == ("ci", "robot-0", "u-1", A)
    assert found.token_expires == datetime.fromtimestamp(1795334400, timezone.utc)
    assert caller_of({}, {}) == Caller()
    assert caller_of({"status": {"userInfo": {"username": "kube:admin"}}}, {}).namespace == ""


@pytest.mark.parametrize("jwks", [None, [], {"keys": None}, {"keys": [1, {}, {"kid": 3}]}, "x"])
def test_what_is_no_key_set_holds_no_keys(jwks):
    assert key_ids_of(jwks) == frozenset()
