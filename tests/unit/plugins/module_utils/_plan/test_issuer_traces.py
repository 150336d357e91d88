# SPDX-License-Identifier: GPL-3.0-or-later
"""What names a former issuer, and what only begins like it."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from datetime import datetime, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._holder_model import (
    HolderPod,
    TokenDriver,
    TokenSource,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Owner, PodFacts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer_traces import (
    TraceSearch,
    is_kept,
    legacy_record,
)

OLD, NEW = "https://old.example.com/c", "https://new.example.com/c"
DEFAULT = "https://kubernetes.default.svc"
SEARCH = TraceSearch([OLD])


def secret(**data):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"namespace": "ci", "name": "robot"}, "type": "Opaque", "data": encoded}


def config_map(text):
    metadata = {"namespace": "vault", "name": "auth", "annotations": {"last": OLD}}
    return {"metadata": metadata, "data": {"a.hcl": text, "other": "x"}}


def token(issuer, expires=1798138800):
    def encode(part):
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    return ".".join([encode({"alg": "RS256"}), encode({"iss": issuer, "exp": expires}), "c2lnbmF0dXJl"])


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        (OLD, True),
        (f'bound_issuer="{OLD}"\nother', True),
        (f"issuer: {OLD}/\n", True),
        (f"{OLD}/.well-known/openid-configuration", True),
        (f"{OLD}/openid/v1/jwks", True),
        (f"[{OLD},{NEW}]", True),
        (f"{OLD}luster", False),
        (f"{OLD}.example.org", False),
        (f"{OLD}/d", False),
        (f"{OLD}:8443", False),
        ("nothing", False),
    ],
)
def test_an_issuer_is_told_from_what_begins_like_it(text, is_named):
    found = SEARCH.in_object("ConfigMap", config_map(text))
    assert [(t.where, t.what, t.issuer) for t in found] == ([("data.a.hcl", "issuer", OLD)] if is_named else [])


def test_the_default_issuer_is_told_from_the_server_behind_a_port_or_a_longer_name():
    search = TraceSearch([DEFAULT])
    assert not search.in_object("ConfigMap", config_map(f"{DEFAULT}:443 {DEFAULT}.cluster.local {DEFAULT}/api"))
    (found,) = search.in_object("ConfigMap", config_map(f"server: {DEFAULT}\n"))
    assert "it is the API server's address too" in found.record(NEW, None)["change"]


def test_a_custom_resource_is_searched_but_for_its_metadata_and_status():
    found = SEARCH.in_object(
        "Store",
        {
            "apiVersion": "v1",
            "metadata": {"name": "s", "managedFields": [OLD]},
            "spec": {"auth": [{"issuer": OLD}, 3]},
            "status": {"issuer": OLD},
        },
    )
    assert [(t.namespace, t.name, t.where) for t in found] == [("", "s", "spec.auth[0].issuer")]


def test_nothing_of_a_secret_is_kept_but_where_something_is():
    inside = token(OLD)
    found = SEARCH.in_secret(
        secret(kubeconfig=f"token: {inside}", url=f"issuer={OLD} password=geheim", fine=token(NEW))
    )
    assert [(t.where, t.what) for t in found] == [("data.kubeconfig", "token"), ("data.url", "issuer")]
    assert found[0].expires == datetime.fromtimestamp(1798138800, timezone.utc)
    shown = json.dumps([t.record(NEW, None) for t in found]) + str([asdict(t) for t in found])
    assert "geheim" not in shown
    assert inside.split(".")[1] not in shown


@pytest.mark.parametrize("expires", [None, "soon", 10**30])
def test_a_token_with_a_strange_end_is_a_token(expires):
    (found,) = SEARCH.in_secret(secret(token=token(OLD, expires)))
    assert (found.what, found.expires) == ("token", None)


def test_what_only_looks_like_a_token_ends_no_audit():
    for issuer in ([OLD], {"a": OLD}, None, 1):
        assert SEARCH.in_secret(secret(token=token(issuer))) == []
    # as long as a Secret may be, and each third character may begin a token
    assert SEARCH.in_secret(secret(text="eyJ" * 300_000)) == []
    (found,) = SEARCH.in_secret(secret(text=f"{'eyJ' * 1000}.eyJ.eyJ token={token(OLD)}"))
    assert found.what == "token"


def test_what_is_no_text_and_what_no_issuer_concerns():
    assert SEARCH.in_secret({"metadata": {"namespace": "a", "name": "b"}, "data": {"x": "***", "y": "/////w=="}}) == []
    assert SEARCH.in_secret({**secret(token=token(OLD)), "type": "kubernetes.io/service-account-token"}) == []
    assert TraceSearch([]).in_secret(secret(token=token(OLD))) == []
    assert TraceSearch([]).in_object("ConfigMap", config_map(OLD)) == []


def test_an_audience_is_named_by_the_controller_of_its_pods():
    owner = Owner(api_version="apps/v1", kind="StatefulSet", name="db", uid="u")
    pod = PodFacts(namespace="shop", name="db-0", uid="1", owner=owner)
    (found,) = SEARCH.in_pod(HolderPod(pod=pod, sources=(TokenSource(audience=OLD), TokenSource(audience="vault"))))
    record = found.record(NEW, datetime(2026, 11, 23, 8, tzinfo=timezone.utc))
    assert (record["kind"], record["name"], record["what"], record["expires"]) == (
        "StatefulSet",
        "db",
        "audience",
        None,
    )
    assert record["change"] == (
        f"Leave the audience out or name {NEW}: the API servers accept {OLD} as an audience only until it is no longer "
        "trusted at 2026-11-23T08:00:00Z."
    )
    bare = HolderPod(pod=PodFacts(namespace="shop", name="db-0", uid="1"), sources=(TokenSource(audience=OLD),))
    assert (SEARCH.in_pod(bare)[0].kind, SEARCH.in_pod(bare)[0].name) == ("Pod", "db-0")


def test_an_audience_of_a_driver():
    (found,) = SEARCH.in_driver("csi.example.com", TokenDriver(tokens=(("vault", 600), (OLD, 600))))
    assert (found.kind, found.name, found.record(NEW, None)["namespace"]) == ("CSIDriver", "csi.example.com", None)


def test_what_operators_keep_is_left_to_them():
    assert is_kept({"metadata": {"namespace": "openshift-kube-apiserver"}})
    assert is_kept({"metadata": {"namespace": "bound-tokens"}}, ["bound-tokens"])
    assert not is_kept({"metadata": {"namespace": "vault"}}, ["bound-tokens"])


def test_whose_a_legacy_token_is():
    metadata = {"namespace": "a", "name": "t", "annotations": {"kubernetes.io/service-account.name": "builder"}}
    assert legacy_record({"metadata": metadata}) == ("a", "t", "builder")
