# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions


@pytest.mark.parametrize(("options", "query"), [({}, []), ({"dry_run": True}, [("dryRun", "All")])])
def test_a_dry_run_is_one_for_the_server_too(options, query):
    asked = []

    def request(method, path, **more):
        asked.append((method, path, more["query_params"]))
        return SimpleNamespace(data=b"{}")

    cluster = Cluster(ConnectionOptions(host="https://api.example.com:6443", api_key="not-a-real-one"))
    cluster._dynamic = SimpleNamespace(request=request)
    cluster.create("Pod", {"metadata": {"generateName": "nginx-"}}, "demo", **options)
    assert asked == [("post", "/api/v1/namespaces/demo/pods", query)]
