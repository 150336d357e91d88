#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_restart
short_description: Restart nodes one after the other or in safe batches, drained before and proven after
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Cordons a node, evicts its pods, restarts its host through a short-lived privileged pod, waits for the proof that it
    has restarted and is well, and uncordons it; over the API alone. Then it goes on with the next one.
  - The proof is another boot ID, readiness that was reported after the restart was asked for, no taint as unreachable, and
    every static and DaemonSet pod Ready in containers that were started since.
  - Workers go first, pool by pool and zone by zone, then the control plane, one by one. The node that the automation runs
    on is the last of its kind, and refused without O(allow_disruption=true), since the run ends with it.
  - A node that was emptied by M(bound_tokens.openshift.node_drain) is restarted, and put back, like any other.
  - A node that the machine-config operator is at work on is left to it, also when that begins in the middle of a run.
  - Before the first cordon it tells what would hold a drain up, and refuses what no waiting would mend. Check mode returns the
    same plan.
  - Of the Ready pods of one owner, never more are down at once than its own strategy allows, whether it has a disruption
    budget or not. A refused eviction is tried again until C(delete_options.wait_timeout).
  - A node that was cordoned before stays cordoned. A cordon of this run bears a mark and is undone by the run, or the next
    one. Whatever interrupts a run, another one goes on where it stopped, also from another machine.
  - The node of a single-node cluster is restarted with its pods on it.
  - Back up etcd before the control plane is restarted.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._node_selection
  - bound_tokens.openshift._nodes
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.actiongroup_cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - With the O(run_id) of a run that is finished nothing is done. Without it each run restarts the nodes.
options:
  max_unavailable:
    description:
      - How many nodes may be away at once, of all nodes, as a number or a percentage of them. Those that are unavailable for
        another reason count, too. Control-plane nodes are always restarted alone.
    type: str
    default: "1"
  max_unavailable_per_pool:
    description:
      - How many nodes of one pool may be away at once, as a number or a percentage, and never more than the pool's own
        C(maxUnavailable). Defaults to that, and to one where the pool does not say.
    type: str
  canary:
    description:
      - Whether the first node goes alone. When it fails no other is begun, whatever O(max_failures) says.
    type: bool
    default: false
  canary_pause:
    description:
      - Seconds to pause after it, also when another run goes on with the others.
    type: int
    default: 0
  only:
    description:
      - Begin only these of the nodes in this task; the others stay planned. For tasks in between, with one call per batch
        of the plan that check mode returned.
    type: list
    elements: str
  image:
    description:
      - The image of the pod that restarts the host; it must be on every node and contain C(chroot).
      - Defaults to the one of the machine-config daemon, which every OpenShift node has.
    type: str
  restart_delay:
    description:
      - Seconds between the end of that pod and the restart of the host, for the cluster to see that the pod has ended.
    type: int
    default: 3
  restart_timeout:
    description:
      - Seconds in which a node must have restarted, and again in which it must be well after that. More than O(restart_delay).
    type: int
    default: 1800
  on_failure:
    description:
      - What becomes of a node that fails. V(put_back) uncordons it, V(leave) leaves it cordoned, V(auto) puts it back unless it
        was asked to restart, or emptied by M(bound_tokens.openshift.node_drain).
    type: str
    choices: [auto, put_back, leave]
    default: auto
  max_failures:
    description:
      - How many nodes may fail before no other is begun. The task fails at its end when any has.
      - A node that has failed and is left cordoned counts as unavailable. Where O(max_unavailable) and
        O(max_unavailable_per_pool) leave no room beside it, no other is begun either.
    type: int
    default: 0
  seconds_per_node:
    description:
      - How long a node is expected to take; replaced by what the nodes really took as soon as the first is done.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Show what would be done, and what would hold it up
  bound_tokens.openshift.node_restart:
  check_mode: true
  register: plan

- name: Restart the workers, two at a time, after office hours
  bound_tokens.openshift.node_restart:
    pools: [worker]
    max_unavailable: 2
    max_unavailable_per_pool: 2
    window: 20:00-05:00+01:00
    delete_options:
      delete_emptydir_data: true
    gates:
      - description: storage
        api_version: ceph.rook.io/v1
        kind: CephCluster
        namespace: rook-ceph
        name: rook-ceph
        expression: status.ceph.health
        value: HEALTH_OK
      - url: https://shop.example.com/healthz
"""

RETURN = r"""
run_id:
  description: The name of the run.
  returned: success, and on failure once the plan was made
  type: str
  sample: 20261122-075532-3fa2b1
batches:
  description: The nodes that are away together, batch by batch, without those that are done.
  returned: success, and on failure once the plan was made
  type: list
  elements: list
  sample: [[worker-0], [worker-1], [master-0]]
nodes:
  description: All nodes of the run.
  returned: success, and on failure once the plan was made
  type: list
  elements: dict
  contains:
    name:
      description: The name of the node.
      type: str
      sample: worker-0
    pool:
      description: Its pool; null for a node that does not exist any more.
      type: str
      sample: worker
    batch:
      description: Its place in RV(batches), from 0; null when it was done already.
      type: int
      sample: 0
    outcome:
      description: How far it is - V(planned), V(draining), V(restarting), V(returning), V(done), V(failed) or V(gone).
      type: str
      sample: done
    reason:
      description: Why it failed - V(NotDrained), V(NotRestarted), V(NotWell), V(RestartPodFailed) or V(RestartPodRefused).
      type: str
      sample: NotDrained
    message:
      description: The same in a sentence.
      type: str
      sample: "after 30 min 1 pod(s) to go: shop/cart-7 may not go yet: Cannot evict pod."
    boot_id_before:
      description: The boot ID before the restart.
      type: str
      sample: 0f3d5e6a-8f0b-4d52-9a55-0f3a2b1c9d7e
    boot_id:
      description: The boot ID now; null when it is not known.
      type: str
      sample: 6c1f6f1e-30a1-4a0e-8a4c-6a2b9a0f3d5e
    restarted_at:
      description:
        - When the restart was asked for, by the node's clock, or when M(bound_tokens.openshift.node_drain) had emptied the
          node; null when that was not seen.
      type: str
      sample: "2026-11-22T08:02:31Z"
    evicted:
      description: How many pods were sent away from it.
      type: int
      sample: 12
    seconds:
      description: How many seconds each step took.
      type: dict
      sample: {"draining": 31.2, "restarting": 64.0, "returning": 12.9}
findings:
  description: What holds a drain up or is worth knowing before it; in check mode also what else the task would be refused for.
  returned: success, and on failure once the plan was made
  type: list
  elements: dict
  sample:
    - node: worker-0
      check: LocalData
      message: "worker-0: shop/cache-0 has an emptyDir; set delete_options.delete_emptydir_data to true to let it go."
      option: delete_options.delete_emptydir_data
      blocking: true
estimate_seconds:
  description: How long it is expected to take.
  returned: success, and on failure once the plan was made
  type: int
  sample: 3600
summary:
  description: The sums.
  returned: success, and on failure once the plan was made
  type: dict
  sample: {"planned": 5, "done": 5, "failed": 0}
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._module import Context, run_module
from ..module_utils._node_module import NODE_ARG_SPEC, build_node_run, check_node_options
from ..module_utils._plan.nodes import SELECTION_ARG_SPEC, read_node_request


def body(context: Context) -> dict[str, Any]:
    params = context.params
    run = build_node_run(
        context,
        read_node_request(params),
        seconds_per_node=params["seconds_per_node"],
        canary_pause=params["canary_pause"] if params["canary"] else 0,
    )
    return run.work(check_mode=context.check_mode)


def check(params: Mapping[str, Any]) -> None:
    read_node_request(params)
    check_node_options(params)


def main() -> None:
    run_module(
        body,
        argument_spec={
            **NODE_ARG_SPEC,
            **SELECTION_ARG_SPEC,
            "max_unavailable": {"type": "str", "default": "1"},
            "max_unavailable_per_pool": {"type": "str"},
            "canary": {"type": "bool", "default": False},
            "canary_pause": {"type": "int", "default": 0},
            "only": {"type": "list", "elements": "str"},
            "image": {"type": "str"},
            "restart_delay": {"type": "int", "default": 3},
            "restart_timeout": {"type": "int", "default": 1800},
            "on_failure": {"type": "str", "choices": ["auto", "put_back", "leave"], "default": "auto"},
            "max_failures": {"type": "int", "default": 0},
            "seconds_per_node": {"type": "int", "default": 600},
        },
        check=check,
        keeps_runs=True,
    )


if __name__ == "__main__":
    main()
