# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing gets past the door without having been asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import Refused
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions

NAMED = {"metadata": {"name": "x"}}
REQUESTS = {
    "get": (lambda c: c.get("Pod", "x", "a"), False),
    "list": (lambda c: list(c.list("Pod", "a")), False),
    "watch": (lambda c: c.watch("Pod", "x", "a", known_version="1", timeout=1), False),
    "document": (lambda c: c.get_document("/openid/v1/jwks"), False),
    "time": (lambda c: c.server_time(), False),
    "question": (lambda c: c.create("SelfSubjectAccessReview", {}), False),
    "who am I": (lambda c: c.create("SelfSubjectReview", {}), False),
    "dry run": (lambda c: c.create("Pod", NAMED, "a", dry_run=True), False),
    "token": (lambda c: c.request_token("x", "a", audience="b", expiration_seconds=600), False),
    "exec": (lambda c: c.run_in_container("x", "a", "c", ["cut"]), False),
    "create": (lambda c: c.create("Pod", NAMED, "a"), True),
    "patch": (lambda c: c.merge_patch("Authentication", "cluster", {}), True),
    "delete": (lambda c: c.delete("Pod", "x", "a", uid="u"), True),
    "evict": (lambda c: c.evict("x", "a", uid="u"), True),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_can_be_forbidden(name):
    request, is_deed = REQUESTS[name]
    asked = []

    def forbid(is_deed):
        asked.append(is_deed)
        raise Refused("no")

    options = ConnectionOptions(host="https://api.example.com:6443", api_key="not-a-real-one")
    cluster = Cluster(options, before_request=forbid)
    cluster._dynamic = SimpleNamespace(request=lambda *args, **more: pytest.fail("it was sent"))
    cluster._open_websocket = lambda *args: pytest.fail("it was sent")
    with pytest.raises(Refused):
        request(cluster)
    assert asked == [is_deed]
