# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of issuers and the flags, as the real operator's controllers make them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from lab.operator.issuers import DEFAULT_ISSUER, REFUSED, flags, go_url_problem, next_issuers, observation_event

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc)
DAY = timedelta(hours=24)
TOMORROW = "2026-11-23T08:00:00Z"
LATER = "2026-11-23T07:00:00Z"
PAST = "2026-11-22T07:59:59Z"
URL = "https://api.lab:6443"


def entry(name: str, until: str | None = None) -> dict[str, str]:
    return {"name": name} | ({"expirationTime": until} if until else {})


A, B, C = "https://a.test", "https://b.test", "https://c.test"

TRANSITIONS = [
    ("the first word", "", [], [entry(DEFAULT_ISSUER)]),
    ("default and empty are the same, alone", "", [entry(DEFAULT_ISSUER)], None),
    ("same issuer", A, [entry(A), entry(B, LATER)], None),
    ("a new one", A, [entry(DEFAULT_ISSUER)], [entry(A), entry(DEFAULT_ISSUER, TOMORROW)]),
    ("a third one", C, [entry(B), entry(A, LATER)], [entry(C), entry(B, TOMORROW), entry(A, LATER)]),
    (
        "back to a trusted one",
        A,
        [entry(B), entry(A, LATER), entry(C, LATER)],
        [entry(A), entry(B, TOMORROW), entry(C, LATER)],
    ),
    ("reset", "", [entry(A)], [entry(DEFAULT_ISSUER), entry(A, TOMORROW)]),
    ("reset is done", "", [entry(DEFAULT_ISSUER), entry(A, LATER)], None),
    ("an expired one goes", A, [entry(A), entry(B, PAST), entry(C, LATER)], [entry(A), entry(C, LATER)]),
    (
        "an expired one stays while the issuer changes",
        C,
        [entry(A), entry(B, PAST)],
        [entry(C), entry(A, TOMORROW), entry(B, PAST)],
    ),
    ("status emptied by hand", A, [], [entry(A)]),
    ("written by hand in advance", A, [entry(B), entry(A, LATER)], [entry(A), entry(B, TOMORROW)]),
]


@pytest.mark.parametrize(
    ("spec", "before", "after"), [row[1:] for row in TRANSITIONS], ids=[row[0] for row in TRANSITIONS]
)
def test_next_issuers(spec: str, before: list[dict[str, str]], after: list[dict[str, str]] | None) -> None:
    change = next_issuers(spec, before, NOW, DAY)
    assert (list(change.entries) if change else None) == after
    expired = [entry for entry in after or before if entry.get("expirationTime") == PAST]
    assert expired or next_issuers(spec, after or before, NOW, DAY) is None


def test_the_eleventh_issuer_is_refused_in_the_log_only() -> None:
    full = [entry(A)] + [entry(f"https://{i}.test", LATER) for i in range(9)]
    change = next_issuers(B, full, NOW, DAY)
    assert change is not None
    assert change.refused == REFUSED
    assert not change.entries
    back = next_issuers("https://3.test", full, NOW, DAY)
    assert back is not None
    assert [len(back.entries), back.refused] == [10, ""]


def test_events() -> None:
    change = next_issuers(A, [entry(DEFAULT_ISSUER)], NOW, DAY)
    assert change is not None
    assert change.event == (
        'Desired ServiceAccountIssuer "https://a.test" is now active issuer. '
        'Previous issuer "https://kubernetes.default.svc" is trusted until 2026-11-23 08:00:00.000000 +0000 UTC.'
    )
    pruned = next_issuers(A, [entry(A), entry(B, PAST), entry(C, PAST)], NOW, DAY)
    assert pruned is not None
    assert pruned.event == (
        "The following service account issuers were pruned and are no longer trusted: https://b.test,https://c.test"
    )


JWKS = [
    (DEFAULT_ISSUER, ["https://api.lab:6443/openid/v1/jwks"]),
    (A, ["https://a.test/openid/v1/jwks"]),
    ("https://a/?q", ["https://a/?q/openid/v1/jwks"]),
    ("not a url", None),
    ("http://a.test", None),
]


@pytest.mark.parametrize(("issuer", "jwks"), JWKS)
def test_flags(issuer: str, jwks: list[str] | None) -> None:
    arguments, problem = flags([entry(B, LATER), entry(issuer), entry(C, LATER)], URL)
    assert problem == ""
    assert arguments["service-account-issuer"] == arguments["api-audiences"] == [issuer, B, C]
    assert arguments.get("service-account-jwks-uri") == jwks


def test_only_the_active_issuer_is_checked() -> None:
    text = "service-account issuer contained a ':' but was not a valid URL: parse \"http://x y\": "
    assert flags([entry("http://x y"), entry(A, LATER)], URL) == ({}, text + 'invalid character " " in host name')
    assert flags([entry(A), entry("http://x y", LATER)], URL)[0]["service-account-issuer"] == [A, "http://x y"]
    assert flags([entry(DEFAULT_ISSUER)], "") == ({}, "APIServerURL missing from infrastructure/cluster")


PROBLEMS = [  # tried with Go's net/url through the real kube-apiserver, facts of the project
    ("http://x y", 'parse "http://x y": invalid character " " in host name'),
    ("https://exa mple.com", 'parse "https://exa mple.com": invalid character " " in host name'),
    ("https://[::1", "parse \"https://[::1\": missing ']' in host"),
    ("https://host:port", 'parse "https://host:port": invalid port ":port" after host'),
    (":nope", 'parse ":nope": missing protocol scheme'),
    ("1https://x", 'parse "1https://x": first path segment in URL cannot contain colon'),
    (" https://x", 'parse " https://x": first path segment in URL cannot contain colon'),
    ("https://x/%zz", 'parse "https://x/%zz": invalid URL escape "%zz"'),
    ("https://x\n:", 'parse "https://x\\n:": net/url: invalid control character in URL'),
    ("https://a b@x", 'parse "https://a b@x": net/url: invalid userinfo'),
]
FINE = ["foo:bar", "http://x", "https://", "https://host:99999", "https://x?q=1", "https://x#f", "https://x/", A]
FINE += ["https://[::1]:6443", "https://u:p@x", "https://x/%20", "https://x/a b"]


@pytest.mark.parametrize(("text", "problem"), PROBLEMS)
def test_what_go_cannot_parse(text: str, problem: str) -> None:
    assert go_url_problem(text) == problem


@pytest.mark.parametrize("text", FINE)
def test_what_go_can_parse(text: str) -> None:
    assert go_url_problem(text) == ""


def test_observation_event_compares_sets() -> None:
    assert observation_event([A, B], [B, A]) == ""
    assert observation_event([A], [B, A]) == "ServiceAccount issuer changed from https://a.test to https://b.test"
    assert observation_event([], [DEFAULT_ISSUER]) == ""
