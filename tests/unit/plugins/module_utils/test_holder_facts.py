# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._holder_facts import read_ready_since


class Cluster:
    """One node that is Ready, or not, since a moment."""

    def __init__(self, status, moment):
        condition = {"type": "Ready", "status": status, "lastTransitionTime": moment}
        self.node = {"metadata": {"name": "n"}, "status": {"conditions": [condition]}}

    def list_at(self, kind, *, read):
        assert kind == "Node"
        return "1", [read(self.node)]


@pytest.mark.parametrize(
    ("status", "moment", "since"),
    [
        ("True", "2026-11-22T08:00:00Z", datetime(2026, 11, 22, 8, tzinfo=timezone.utc)),
        ("True", "9999-12-31T23:59:59Z", datetime(9000, 1, 1, tzinfo=timezone.utc)),
        ("True", None, None),
        ("Unknown", "2026-11-22T08:00:00Z", None),
    ],
)
def test_since_when_a_node_is_ready(status, moment, since):
    found = read_ready_since(Cluster(status, moment))
    assert found == {"n": since}
    assert since is None or found["n"] + timedelta(days=365) > since
