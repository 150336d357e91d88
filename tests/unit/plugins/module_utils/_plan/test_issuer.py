# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import issuer_facts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer import (
    IssuerPlan,
    find_poison,
    find_poisoned,
    former_places,
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
    ("https://x/a,b", "contains a comma"),
    ("https://[::1]!443", "is not a well-formed URL|has no valid host name"),
    ("https://[fe80::1%)5eth0]", "is not a well-formed URL|has no valid host name"),
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


PLAIN = ["not-a-url", "issuer.example", "a/b", "robot@cluster", "a=b+c~d_e"]


@pytest.mark.parametrize("issuer", [*PLAIN, *GOOD])
def test_a_plain_name_is_taken_only_when_asked_for(issuer):
    assert validate_issuer(issuer, allow_non_url=True) == issuer
    if issuer in PLAIN:
        with pytest.raises(InvalidOption, match="is not an https URL"):
            validate_issuer(issuer)


NO_PLAIN = [
    "",
    "foo:bar",
    ":nope",
    "http://x",
    "a b",
    "a,b",
    'a"b',
    "-x",
    "a\n",
    "$(X)",
    "ü",
    *(bad for bad, _unused in BAD if ":" in bad),
]


@pytest.mark.parametrize("issuer", NO_PLAIN)
def test_what_is_neither_a_url_nor_a_plain_name_is_refused(issuer):
    with pytest.raises(InvalidOption):
        validate_issuer(issuer, allow_non_url=True)


#: The first two groups were tried on a real kube-apiserver (openshift.md 2.7); the quotation mark on 1.34.4 as --api-audiences.
POISON = [
    ("https://exa mple.com", "contains a colon and is no valid URL (invalid character in host)"),
    ("https://[::1", "contains a colon and is no valid URL (misplaced bracket in host)"),
    ("https://host:port", "contains a colon and is no valid URL (invalid port)"),
    (":nope", "contains a colon and is no valid URL (missing protocol scheme)"),
    ("1https://x", "contains a colon and is no valid URL (first path segment contains a colon)"),
    (" https://x", "contains a colon and is no valid URL (first path segment contains a colon)"),
    ("https://x/%zz", "contains a colon and is no valid URL (invalid escape)"),
    ("http://x y", "contains a colon and is no valid URL (invalid character in host)"),
    ("not-a-url", None),
    ("foo:bar", None),
    ("http://x", None),
    ("https://", None),
    ("https://host:99999", None),
    ("https://x?q=1", None),
    ("https://x#f", None),
    ("https://x/", None),
    ("https://x/a b", None),
    ("not a url", None),
    ("https://x#%zz", "contains a colon and is no valid URL (invalid escape)"),
    ("https://u:p@x", None),
    ("https://u p@x", "contains a colon and is no valid URL (invalid user information)"),
    ("https://[2001:db8::1]:6443", None),
    ("https://[fe80::1%25eth0]", None),
    ("https://[not-an-address]", "contains a colon and is no valid URL (no IPv6 address in brackets)"),
    ("https://a:1:2", "contains a colon and is no valid URL (invalid port)"),
    ("https://x\n", "contains a colon and is no valid URL (invalid control character)"),
    ("//x y:1", "contains a colon and is no valid URL (invalid character in host)"),
    ("///x y:1", None),
    ("https://x%20y", "contains a colon and is no valid URL (invalid escape in host)"),
    ("", "is empty"),
    ('a"b', "contains a quotation mark, with which the flag api-audiences can't be parsed"),
]


@pytest.mark.parametrize(("name", "reason"), POISON)
def test_what_keeps_a_kube_apiserver_from_starting(name, reason):
    assert find_poison(name) == reason


def test_each_poisoned_entry_is_found_by_its_place():
    entries = [
        {"name": "https://b.example"},
        {"name": "http://x y", "expirationTime": "2026-11-23T08:00:00Z"},
        {"name": "https://b.example", "expirationTime": "2026-11-23T08:00:00Z"},
        {"expirationTime": "2026-11-23T08:00:00Z"},
        {"name": "https://a.example", "expirationTime": "2026-11-23T08:00:00Z"},
    ]
    facts = issuer_facts({"spec": {}}, {"status": {"serviceAccountIssuers": entries}})
    assert find_poisoned(facts.trusted) == {
        1: "contains a colon and is no valid URL (invalid character in host)",
        2: "stands in the list twice",
        3: "is empty",
    }
    assert list(former_places(facts.trusted, "https://b.example")) == [1, 3, 4]
    plan = IssuerPlan(facts=facts, after="https://b.example", repair=True)
    assert plan.repairs
    assert plan.has_changes
    assert not IssuerPlan(facts=facts, after="https://b.example").repairs
    assert find_poisoned(None) == {}


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
