# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.words import find_server_words
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions
from kubernetes.client.exceptions import ApiException

OPTIONS = ConnectionOptions(host="https://api.example.com:6443", api_key="not-a-real-one")
# What a kube-apiserver 1.34 answers when a disruption budget forbids an eviction.
FORBIDDEN_BY_BUDGET = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "Cannot evict pod as it would violate the pod's disruption budget.",
    "reason": "TooManyRequests",
    "details": {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget web needs 1 healthy pods and has 1 currently",
            }
        ]
    },
    "code": 429,
}


class RefusingClient:
    """Stands where the dynamic client is and answers every request with one error."""

    def __init__(self, status, body, headers):
        self.error = ApiException(status=status, reason="Too Many Requests")
        self.error.body, self.error.headers = body, headers
        self.asked = []

    def request(self, method, path, **options):
        self.asked.append((method, path, options.get("body")))
        raise self.error


@pytest.mark.parametrize(("headers", "retry_after"), [({}, None), ({"Retry-After": "10"}, 10.0), (None, None)])
def test_a_refused_eviction_names_the_budget(headers, retry_after):
    cluster = Cluster(OPTIONS)
    cluster._dynamic = RefusingClient(429, json.dumps(FORBIDDEN_BY_BUDGET), headers)
    with pytest.raises(ApiError) as caught:
        cluster.evict("web-0", "web", uid="uid-1", grace_period=3)
    assert caught.value.words == (
        "Cannot evict pod as it would violate the pod's disruption budget. "
        "The disruption budget web needs 1 healthy pods and has 1 currently"
    )
    assert (caught.value.status, caught.value.reason) == (429, "TooManyRequests")
    assert caught.value.retry_after == retry_after
    assert cluster._dynamic.asked == [
        (
            "post",
            "/api/v1/namespaces/web/pods/web-0/eviction",
            {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": "web-0", "namespace": "web"},
                "deleteOptions": {
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "preconditions": {"uid": "uid-1"},
                    "gracePeriodSeconds": 3,
                },
            },
        )
    ]


@pytest.mark.parametrize(("status", "count"), [(401, 1), (403, 0)])
def test_after_401_another_api_server_may_be_asked(status, count, monkeypatch):
    cluster, cleared = Cluster(OPTIONS), []
    cluster._dynamic = RefusingClient(status, "", {})
    monkeypatch.setattr(cluster._api.rest_client.pool_manager, "clear", lambda: cleared.append(1))
    with pytest.raises(ApiError):
        cluster.get("Pod", "web-0", "web")
    assert len(cleared) == count


class AnsweringClient:
    """Stands where the dynamic client is and answers every request with one object."""

    def __init__(self, answer, headers=None):
        self.answer, self.headers, self.asked = answer, headers or {}, []

    def request(self, method, path, **options):
        self.asked.append((method, path, options.get("body"), options.get("content_type")))
        self.accepted = options.get("header_params", {}).get("Accept")
        return SimpleNamespace(data=json.dumps(self.answer), headers=self.headers)


def answering(answer, headers=None, options=OPTIONS):
    cluster = Cluster(options)
    cluster._dynamic = AnsweringClient(answer, headers)
    return cluster


def make_token(payload, header=None):
    parts = [json.dumps(part).encode() for part in (header or {}, payload)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "c2lnbmF0dXJl"])


def test_a_subresource_is_patched_by_its_own_address():
    cluster = answering({})
    cluster.merge_patch("KubeAPIServer", "cluster", {"status": {}}, subresource="status")
    path = "/apis/operator.openshift.io/v1/kubeapiservers/cluster/status"
    assert cluster._dynamic.asked == [("patch", path, {"status": {}}, "application/merge-patch+json")]


@pytest.mark.parametrize(
    ("headers", "moment"),
    [
        ({"Date": "Sun, 22 Nov 2026 08:02:31 GMT"}, datetime(2026, 11, 22, 8, 2, 31, tzinfo=timezone.utc)),
        ({"Date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_the_time_is_the_servers(headers, moment):
    assert answering({"major": "1"}, headers).server_time() == moment


def test_a_document_outside_the_groups_is_read():
    cluster = answering({"keys": []})
    assert cluster.get_document("/openid/v1/jwks") == {"keys": []}
    assert cluster._dynamic.asked[0][:2] == ("get", "/openid/v1/jwks")
    # a kube-apiserver answers 406 otherwise
    assert cluster._dynamic.accepted == "application/json, application/jwk-set+json"


TOKEN = make_token({"iss": "https://a.example", "exp": 1})


@pytest.mark.parametrize(
    ("options", "claims"),
    [
        ({"api_key": TOKEN}, {"iss": "https://a.example", "exp": 1}),
        ({"api_key": "sha256~opaque"}, {}),
        ({"username": "u", "password": "p"}, {}),
    ],
)
def test_of_the_own_token_only_the_claims_are_told(options, claims):
    cluster = Cluster(ConnectionOptions(host="https://api.example.com:6443", **options))
    assert cluster.own_token_claims() == claims


def test_of_a_new_token_the_claims_and_the_key_id_are_told():
    token = make_token({"iss": "https://a.example"}, {"kid": "k1", "alg": "RS256"})
    cluster = answering({"status": {"token": token}})
    found = cluster.request_token("default", "default", audience="x", expiration_seconds=600)
    assert found == ({"iss": "https://a.example"}, "k1")


CAUSE = {"reason": "DisruptionBudget", "message": "The budget web needs 3."}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"message": "no", "reason": "Forbidden"}, ("no", "Forbidden")),
        ({"message": "no", "details": {"causes": [CAUSE, {"message": "x"}]}}, ("no The budget web needs 3.", "")),
        ({"reason": "Forbidden"}, ("Forbidden", "Forbidden")),
        ({}, ("Bad Gateway", "")),
        ({"message": 7}, ("7", "")),
        ({"message": ["a"], "reason": {"b": 1}}, ("['a']", "")),
        ({"message": "no", "details": "x"}, ("no", "")),
        ({"message": "no", "details": {"causes": 5}}, ("no", "")),
        ({"message": "no", "details": {"causes": ["x", None, {**CAUSE, "message": 3}]}}, ("no 3", "")),
    ],
)
def test_a_status_of_any_shape_gives_words(status, words):
    error = SimpleNamespace(body=json.dumps({"kind": "Status", **status}), reason="Bad Gateway")
    assert find_server_words(error) == words
