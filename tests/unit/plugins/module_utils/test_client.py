# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import Cluster
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
