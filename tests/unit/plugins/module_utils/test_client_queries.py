# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import queries
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.queries import (
    Queries,
    require_expression,
    search,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    InvalidOption,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions
from kubernetes.client.exceptions import ApiException

DOCUMENTS = {
    "/apis/ceph.rook.io/v1": {
        "resources": [
            {"name": "cephclusters/status", "kind": "CephCluster", "namespaced": True},
            {"name": "cephclusters", "kind": "CephCluster", "namespaced": True},
        ]
    },
    "/api/v1": {
        "resources": [
            {"name": "nodes", "kind": "Node", "namespaced": False},
            {"name": "pods", "kind": "Pod", "namespaced": True},
        ]
    },
    "/apis/ceph.rook.io/v1/namespaces/rook/cephclusters/main": {"metadata": {"name": "main"}},
    "/apis/ceph.rook.io/v1/cephclusters": {"items": [{"metadata": {"name": "all"}}]},
    "/apis/ceph.rook.io/v1/namespaces/rook/cephclusters": {"items": [{"metadata": {"name": "rook"}}]},
    "/api/v1/nodes/worker-0": {"metadata": {"name": "worker-0"}},
    "/api/v1/nodes": {"items": []},
}


class Server:
    """Answers requests with DOCUMENTS; the queries that it was sent by path."""

    def __init__(self):
        self.asked, self.statuses = [], {}

    def request(self, method, path, **more):
        self.asked.append((path, dict(more["query_params"])))
        status = self.statuses.get(path, 200 if path in DOCUMENTS else 404)
        if status == 200:
            return SimpleNamespace(data=json.dumps(DOCUMENTS[path]).encode())
        error = ApiException(status=status, reason="no")
        error.body, error.headers = json.dumps({"kind": "Status", "message": "no", "reason": "NotFound"}), {}
        raise error


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def asking(server):
    cluster = Cluster(ConnectionOptions(host="https://api.example.com:6443", api_key="not-a-real-one"))
    cluster._dynamic = server
    return Queries(cluster)


@pytest.mark.parametrize(
    ("of", "given", "path", "query", "names"),
    [
        ("Ceph", {"name": "main", "namespace": "rook"}, "namespaces/rook/cephclusters/main", {}, ["main"]),
        ("Ceph", {"namespace": "rook"}, "namespaces/rook/cephclusters", {}, ["rook"]),
        ("Ceph", {}, "cephclusters", {}, ["all"]),
        ("Ceph", {"label_selectors": ("a=b", "!c")}, "cephclusters", {"labelSelector": "a=b,!c"}, ["all"]),
        ("Ceph", {"name": "gone", "namespace": "rook"}, "namespaces/rook/cephclusters/gone", {}, []),
        ("Ceph", {"name": "a/../b?c", "namespace": "r k"}, "namespaces/r%20k/cephclusters/a%2F..%2Fb%3Fc", {}, []),
        ("Node", {"name": "worker-0"}, "nodes/worker-0", {}, ["worker-0"]),
        ("Node", {"name": "worker-0", "namespace": "ignored"}, "nodes/worker-0", {}, ["worker-0"]),
        ("Node", {}, "nodes", {}, []),
    ],
)
def test_objects_of_any_kind_are_read(server, asking, of, given, path, query, names):
    kinds = {"Ceph": ("ceph.rook.io/v1", "CephCluster", "/apis/ceph.rook.io/v1"), "Node": ("v1", "Node", "/api/v1")}
    api_version, kind, base = kinds[of]
    for _time in range(2):
        assert [o["metadata"]["name"] for o in asking.read(api_version, kind, **given)] == names
    assert server.asked == [(base, {}), (f"{base}/{path}", query), (f"{base}/{path}", query)]


@pytest.mark.parametrize(("api_version", "kind"), [("ceph.rook.io/v2", "CephCluster"), ("v1", "Knot"), ("a/b/c", "X")])
def test_a_kind_that_does_not_exist_is_told_and_asked_for_again(server, asking, api_version, kind):
    for _time in range(2):
        with pytest.raises(InvalidOption, match=f"^The cluster has no {kind} of {api_version}; check api_version"):
            asking.read(api_version, kind)
    assert len(server.asked) == 2


def test_a_name_needs_its_namespace(asking):
    with pytest.raises(InvalidOption, match=r"^The CephCluster main can't be looked up without its namespace"):
        asking.read("ceph.rook.io/v1", "CephCluster", name="main")


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/nodes"])
@pytest.mark.parametrize("status", [403, 503])
def test_other_errors_are_raised(server, asking, path, status):
    server.statuses[path] = status
    with pytest.raises(ApiError, match=f"Could not get {path}: no"):
        asking.read("v1", "Node")


@pytest.mark.parametrize("expression", ["status.phase", "length(items)", "a[?b=='c'] | [0]", "to_string(@)"])
def test_expressions_that_can_be_used(expression):
    require_expression(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("a[", "Incomplete expression"),
        ("", "cannot be empty"),
        ("nofunc(@)", r"Unknown function: nofunc\(\)"),
        ("length(@, @)", r"Expected 1 argument for function length\(\), received 2"),
        ("a == 'x", "Unclosed ' delimiter"),
    ],
)
def test_expressions_that_can_not_be_used_are_told(expression, words):
    with pytest.raises(InvalidOption, match=f"is not JMESPath: .*{words}.$") as caught:
        require_expression(expression)
    assert "\n" not in caught.value.message


def test_what_an_expression_gives():
    assert search("status.x", {"status": {"x": 3}}) == 3
    assert search("status.y", {"status": {"x": 3}}) is None
    with pytest.raises(CollectionError, match=r"^length\(a\) can't be told: In function length\(\), invalid type"):
        search("length(a)", {})


def test_without_jmespath_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(queries, "jmespath", None)
    with pytest.raises(CollectionError, match=r"install it with: pip install jmespath$"):
        require_expression("a")
