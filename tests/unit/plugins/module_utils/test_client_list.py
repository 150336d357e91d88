# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions
from kubernetes.client.exceptions import ApiException

EXPIRED = {
    "kind": "Status",
    "status": "Failure",
    "message": "The provided continue parameter is too old to display a consistent list result.",
    "reason": "Expired",
    "code": 410,
}


def page(*names, token=""):
    return {"metadata": {"continue": token}, "items": [{"metadata": {"name": n}} for n in names]}


def list_from(script):
    """The names that a list of pods brings, and the queries; the script is of pages and statuses of errors."""
    cluster, asked = connect(script)
    return [o["metadata"]["name"] for o in cluster.list("Pod", "demo", label_selector="a=b")], asked


def connect(script):
    asked = []

    def request(method, path, **more):
        asked.append(dict(more["query_params"]))
        step = script[len(asked) - 1]
        if isinstance(step, int):
            error = ApiException(status=step, reason="no")
            error.body, error.headers = json.dumps({**EXPIRED, "code": step}), {}
            raise error
        return SimpleNamespace(data=json.dumps(step).encode())

    cluster = Cluster(ConnectionOptions(host="https://api.example.com:6443", api_key="not-a-real-one"))
    cluster._dynamic = SimpleNamespace(request=request)
    return cluster, asked


def test_of_each_object_only_what_is_asked_for_is_kept():
    read = []

    def take(found):
        read.append(len(asked))
        return found["metadata"]["name"]

    cluster, asked = connect([page("a", "b", token="1"), {**page("c"), "metadata": {"resourceVersion": "7"}}])
    assert cluster.list_at("Pod", read=take) == ("7", ["a", "b", "c"])
    assert read == [1, 1, 2], "each page is read before the next one is asked for"


def test_all_pages_are_read():
    assert list_from([page("a", token="1"), page("b", token="2"), page("c")]) == (
        ["a", "b", "c"],
        [{"limit": 500, "labelSelector": "a=b", **more} for more in ({}, {"continue": "1"}, {"continue": "2"})],
    )


def test_pages_of_a_moment_too_long_ago_are_given_up_and_all_is_read_at_once():
    names, asked = list_from([page("a", "gone", token="1"), page("b", token="2"), 410, page("a", "b", "c")])
    assert names == ["a", "b", "c"]
    assert asked[-1] == {"labelSelector": "a=b"}


@pytest.mark.parametrize("script", [[410], [page("a", token="1"), 410, 410], [page("a", token="1"), 503]])
def test_other_errors_of_a_list_are_raised(script):
    with pytest.raises(ApiError):
        list_from(script)
