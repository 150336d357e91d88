# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_facts import (
    read_kubelet_start,
    read_kubelet_starts,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._parallel import MAX_PARALLEL

NODES = [f"n{number:02}" for number in range(12)]


class Cluster:
    """Kubelets that started at the Unix times of ``starts``; None for one that does not say, the others do not answer."""

    def __init__(self, **starts):
        self.starts, self.asked = starts, []

    def read_node_metric(self, node, name):
        assert name == "process_start_time_seconds"
        self.asked.append(node)
        if node not in self.starts:
            raise ApiError(verb="read", target="the metrics", host="h", status=503, words="connection refused")
        return self.starts[node]


def at(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc)


def test_when_a_kubelet_started():
    cluster = Cluster(a=1795378719.07, b=None)
    assert read_kubelet_start(cluster, "a") == datetime(2026, 11, 22, 20, 18, 39, 70_000, tzinfo=timezone.utc)
    assert read_kubelet_start(cluster, "b") is None
    with pytest.raises(ApiError):
        read_kubelet_start(cluster, "c")


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf"), 1e300, 1e12, -1e300, -1.0])
def test_what_can_be_no_start_of_a_kubelet_is_not_told(seconds):
    assert read_kubelet_start(Cluster(a=seconds), "a") is None
    assert read_kubelet_starts(Cluster(a=seconds, b=1.5), ["a", "b"]) == {"b": at(1.5)}


def test_of_many_those_count_that_tell():
    cluster = Cluster(n00=1.5, n03=None, n07=2.5, n11=3.5)
    assert read_kubelet_starts(cluster, NODES) == {"n00": at(1.5), "n07": at(2.5), "n11": at(3.5)}
    assert sorted(cluster.asked) == NODES
    assert read_kubelet_starts(cluster, []) == {}


def test_where_several_do_not_tell_no_others_are_asked():
    cluster = Cluster(n11=3.5)
    assert read_kubelet_starts(cluster, NODES) == {}
    assert sorted(cluster.asked) == NODES[:MAX_PARALLEL]
