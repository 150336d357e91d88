# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests without a pause to pods that leave well, and to pods that do not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from lab import apply, traffic
from lab.api import Api, ApiError

from .conftest import Lab, eventually

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def shop(lab: Lab) -> Iterator[Lab]:
    lab.up()
    apply.apply_objects(lab.settings, traffic.workload("default", "cart"))
    yield lab
    lab.api().request("DELETE", "/apis/apps/v1/namespaces/default/deployments/cart")


def test_pods_that_leave_one_after_the_other_lose_no_request(shop: Lab) -> None:
    api = shop.api()
    with traffic.Traffic(shop.settings, "default", "cart") as asking:
        before = _ready(api)
        for name in before:
            eventually(lambda name=name: _evict(api, name))  # type: ignore[misc]
            eventually(lambda name=name: len(_ready(api) - {name}) == 3)  # type: ignore[misc]
        eventually(lambda: not before & _names(api))  # the last one has not only begun to leave
    assert asking.result.failures == []
    assert min(asking.result.answers.values()) > 20


def test_pods_that_are_killed_lose_requests(shop: Lab) -> None:
    with traffic.Traffic(shop.settings, "default", "cart") as asking:
        for node in ("worker-0", "worker-1"):
            shop.run("exec", node, "sh", "-c", "kill -9 $(pidof web)")
        time.sleep(2)
    assert asking.result.failures


def _evict(api: Api, name: str) -> bool:
    """Whether the pod goes; the budget may not have counted the last one's replacement yet."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    try:
        api.request("POST", f"{PODS}/{name}/eviction", eviction)
    except ApiError as error:
        if error.status != 429:
            raise
        return False
    return True


def _names(api: Api) -> set[str]:
    return {pod["metadata"]["name"] for pod in api.items(f"{PODS}?labelSelector=app%3Dcart")}


def _ready(api: Api) -> set[str]:
    """Pods that are Ready and stay."""
    return {
        pod["metadata"]["name"]
        for pod in api.items(f"{PODS}?labelSelector=app%3Dcart")
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    }
