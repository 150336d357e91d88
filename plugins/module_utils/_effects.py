# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The few writes. Each carries out one step of a plan and decides nothing."""

from __future__ import annotations

from ._client import Cluster
from ._plan.issuer import IssuerPlan


def set_issuer(cluster: Cluster, plan: IssuerPlan) -> None:
    """Write the one field that the plan changes."""
    if plan.patch is not None:
        cluster.merge_patch("Authentication", "cluster", plan.patch)
