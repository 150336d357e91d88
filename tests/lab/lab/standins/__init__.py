# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for the parts of OpenShift that people who restart nodes have to reckon with.

    pools.py       the machine config operator: pools, and the nodes' annotations (pure)
    guards.py      the static pod operators' guard pods and their disruption budgets (pure)
    etcd.py        the etcd operator's report on its members (pure)
    __main__.py    follows nodes and pools, asks the members, writes

Words and rules are those of openshift/machine-config-operator, library-go and cluster-etcd-operator of August 2026.
"""

from __future__ import annotations
