# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    Condition,
    Outcome,
    Permission,
    RolloutVerdict,
    issuer_facts,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer import (
    IssuerPlan,
    judge_preflight,
    validate_issuer,
)

GOOD = [
    "https://kubernetes.default.svc",
    "https://issuer.example.com",
    "https://issuer.example.com:8443/cluster-1",
    "https://bucket.s3.eu-west-1.amazonaws.com/a/b%20c",
    "https://[2001:db8::1]:6443",
    "https://10.0.0.1",
]


@pytest.mark.parametrize("issuer", GOOD)
def test_usable_issuers_are_taken_unchanged(issuer):
    assert validate_issuer(issuer) == issuer


#: The first seven are refused by a real kube-apiserver (openshift.md 2.7), the others are useless or break relying parties.
BAD = [
    ("https://exa mple.com", "contains whitespace or a control character"),
    ("https://[::1", "is not a well-formed URL"),
    ("https://host:port", "is not a well-formed URL"),
    (":nope", "is not an https URL"),
    ("1https://x", "is not an https URL"),
    (" https://x", "contains whitespace or a control character"),
    ("https://x/%zz", "has a path that is not well-formed"),
    ("", "is empty"),
    ("not-a-url", "is not an https URL"),
    ("foo:bar", "is not an https URL"),
    ("http://x", "is not an https URL"),
    ("HTTPS://x", "is not an https URL"),
    ("https://", "has no host"),
    ("https://host:99999", "is not a well-formed URL"),
    ("https://host:0", "has no valid port"),
    ("https://host:", "has no valid port"),
    ("https://x?q=1", "contains a query"),
    ("https://x?", "contains a query"),
    ("https://x#f", "contains a fragment"),
    ("https://x#", "contains a fragment"),
    ("https://x/", "ends with a slash"),
    ("https://x//y", "has a path that is not well-formed"),
    ("https://user:secret@x", "contains user information"),
    ("https://-x.example", "has no valid host name"),
    ("https://x..example", "has no valid host name"),
    ("https://[not-an-address]", "is not a well-formed URL|has no valid host name"),
    ("https://[fe80::1%eth0]", "has no valid host name"),
    ("https://[::1]x", "is not a well-formed URL|has no valid host name"),
    ("https://[::1]x:443", "is not a well-formed URL|has no valid host name"),
    ("https://x\n", "contains whitespace or a control character"),
    ("https://x\u200b", "contains whitespace or a control character"),
]


@pytest.mark.parametrize(("issuer", "problem"), BAD)
def test_bad_issuers_are_refused_with_the_reason_and_the_next_step(issuer, problem):
    with pytest.raises(InvalidOption, match=problem) as caught:
        validate_issuer(issuer)
    assert caught.value.message.startswith("The service account issuer ")
    assert "such as https://issuer.example.com/cluster-1." in caught.value.message


def facts_of(spec="https://a.example", former=0):
    entries = [{"name": spec or "https://kubernetes.default.svc"}]
    entries += [{"name": f"https://f{i}.example", "expirationTime": "2026-11-23T08:00:00Z"} for i in range(former)]
    return issuer_facts({"spec": {"serviceAccountIssuer": spec}}, {"status": {"serviceAccountIssuers": entries}})


def plan_of(facts, wanted):
    return IssuerPlan(facts=facts, after=wanted)


def test_the_plan_is_a_patch_of_the_one_field():
    plan = plan_of(facts_of(), "https://b.example")
    assert plan.patch == {"spec": {"serviceAccountIssuer": "https://b.example"}}
    assert (plan.before, plan.after) == ("https://a.example", "https://b.example")


def test_the_same_issuer_needs_no_write():
    assert plan_of(facts_of(), "https://a.example").patch is None


def test_the_default_is_written_explicitly_where_the_field_is_empty():
    assert plan_of(facts_of(spec=""), "https://kubernetes.default.svc").patch is not None


QUIET = RolloutVerdict(outcome=Outcome.DONE, reason="Complete", message="All is done.")
RUNNING = RolloutVerdict(outcome=Outcome.WAITING, reason="NodesBehind", message="1 of 3 nodes are at revision 12.")
DENIED = Permission(verb="patch", group="config.openshift.io", resource="authentications")
FINDINGS = [
    ("nothing speaks against it", {}, []),
    ("a rollout runs", {"rollout": RUNNING}, ["quiet"]),
    ("the operator is degraded", {"operator": Condition(status="True", message="x")}, ["quiet"]),
    ("the operator is well", {"operator": Condition(status="False")}, []),
    ("an update runs", {"progressing": Condition(status="True", message="x")}, ["quiet"]),
    ("not permitted", {"denied": [DENIED]}, ["permissions"]),
    ("all at once", {"denied": [DENIED], "rollout": RUNNING}, ["permissions", "quiet"]),
    ("switched off by name", {"denied": [DENIED], "rollout": RUNNING, "skip": ["quiet"]}, ["permissions"]),
]


@pytest.mark.parametrize(("name", "have", "checks"), FINDINGS, ids=[row[0] for row in FINDINGS])
def test_preflight(name, have, checks):
    facts = facts_of()
    given = {"rollout": QUIET, "operator": None, "progressing": None, **have}
    findings = judge_preflight(plan_of(facts, "https://b.example"), **given)
    assert [f.check for f in findings] == checks


def test_nothing_to_write_means_nothing_to_find():
    facts = facts_of()
    plan = plan_of(facts, "https://a.example")
    assert judge_preflight(plan, rollout=RUNNING, operator=None, progressing=None, denied=[DENIED]) == []


@pytest.mark.parametrize(
    ("former", "wanted", "checks"),
    [(9, "https://b.example", ["room"]), (9, "https://f3.example", []), (8, "https://b.example", [])],
)
def test_an_eleventh_issuer_is_refused_since_the_operator_ignores_it(former, wanted, checks):
    facts = facts_of(former=former)
    findings = judge_preflight(plan_of(facts, wanted), rollout=QUIET, operator=None, progressing=None)
    assert [f.check for f in findings] == checks
