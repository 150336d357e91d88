# SPDX-License-Identifier: GPL-3.0-or-later
"""What the etcd operator says of its members: conditions of etcds/cluster, and the ClusterOperator that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]


def judge_members(healthy: Mapping[str, bool]) -> list[Object]:
    """Conditions from the health of each member, by name."""
    sick = [name for name, well in healthy.items() if not well]
    count, good = len(healthy), len(healthy) - len(sick)
    text = f"{count} members are available"
    if sick:
        text = ", ".join([f"{good} of {count} members are available", *(f"{name} is unhealthy" for name in sick)])
    quorate = good > count // 2
    return [
        _condition("EtcdMembersAvailable", quorate, "EtcdQuorate" if quorate else "NoQuorum", text),
        _condition(
            "EtcdMembersDegraded",
            bool(sick),
            "UnhealthyMembers" if sick else "AsExpected",
            text if sick else "No unhealthy members found",
        ),
        _condition("EtcdMembersProgressing", False, "AsExpected", "No unstarted etcd members found"),
    ]


def judge_operator(members: list[Object], sick_for: float, inertia: float) -> list[Object]:
    """The ClusterOperator's conditions; it is not Degraded before its members have been sick for the inertia's seconds."""
    available, degraded, _progressing = members
    is_degraded = degraded["status"] == "True" and sick_for >= inertia
    return [
        _condition(
            "Degraded",
            is_degraded,
            "EtcdMembers_UnhealthyMembers" if is_degraded else "AsExpected",
            f"EtcdMembersDegraded: {degraded['message']}",
        ),
        _condition("Progressing", False, "AsExpected", "NodeInstallerProgressing: all nodes are at revision 1"),
        _condition(
            "Available",
            available["status"] == "True",
            "AsExpected" if available["status"] == "True" else "EtcdMembers_NoQuorum",
            f"EtcdMembersAvailable: {available['message']}",
        ),
        _condition("Upgradeable", True, "AsExpected", "All is well"),
    ]


def _condition(kind: str, true: bool, reason: str, message: str) -> Object:
    return {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}
