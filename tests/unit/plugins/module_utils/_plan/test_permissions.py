# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.permissions import (
    KUBELETS,
    NEEDS,
    NODE_COMMAND,
    permissions_for,
    run_permissions,
)


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("deletion", "delete pods"),
        ("eviction", "create pods/eviction"),
        ("issuer", "patch authentications.config.openshift.io"),
        ("node_restart", "patch nodes"),
        ("probe", "create serviceaccounts/token in namespace default"),
        ("rollout", "patch statefulsets.apps"),
        ("revocation", "patch kubeapiservers.operator.openshift.io/status"),
        ("token_files", "get pods/log in namespace bound-tokens-node-restart"),
    ],
)
def test_each_part_of_a_run_names_the_deed_it_stands_for(name, needed):
    assert needed in [str(p) for p in permissions_for([name])]


def test_kubelets_need_what_commands_on_nodes_do_and_their_metrics():
    assert set(NODE_COMMAND) < set(KUBELETS)
    assert "get nodes/proxy" in [str(p) for p in KUBELETS]
    assert "get pods/log in namespace bound-tokens-node-restart" in [str(p) for p in NODE_COMMAND]


def test_what_several_parts_need_is_asked_once():
    both = permissions_for(["node_restart", "eviction"])
    assert len(both) == len(set(both)) < sum(len(NEEDS[name]) for name in ("node_restart", "eviction"))
    assert permissions_for([]) == ()


def test_a_run_needs_its_record_and_its_lease_in_its_own_namespace():
    assert {(p.verb, p.resource) for p in run_permissions("n")} == {
        ("get", "namespaces"),
        *((verb, what) for verb in ("get", "create", "patch") for what in ("configmaps", "leases")),
    }
    assert {p.namespace for p in run_permissions("n")} == {"n"}
