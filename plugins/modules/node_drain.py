#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_drain
short_description: Cordon and empty nodes, or put them back after they were restarted by other means
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - With O(state=drained) cordons nodes and evicts their pods, with the same care as M(bound_tokens.openshift.node_restart),
    and leaves them cordoned, for their hosts to be restarted by other means, such as a cloud's API or a management controller.
  - With O(state=available) waits for the same proof that they have restarted and are well, and undoes the cordon.
  - A cordon of this run bears a mark. One that was there before stays.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._nodes
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.actiongroup_cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  nodes:
    description:
      - The nodes by name. They are emptied together.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(drained) is cordoned and empty, V(available) is restarted, well and put back.
    type: str
    choices: [drained, available]
    default: drained
  require_restart:
    description:
      - With O(state=available), whether the nodes must have restarted since they were drained. With V(false) those that have not
        are put back, too.
    type: bool
    default: true
  max_unavailable:
    description:
      - With O(state=drained), how many nodes may be away at once, of all nodes, as a number or a percentage of them. While others
        are unavailable, so that these would be too many, they are not cordoned.
    type: str
    default: "100%"
  max_unavailable_per_pool:
    description:
      - The same for the nodes of one pool, and never more than the pool's own C(maxUnavailable). Defaults to that, and to one
        where the pool does not say.
    type: str
  max_failures:
    description:
      - How many nodes of the run may have failed before the task fails. The result tells which have.
    type: int
    default: 0
  canary_pause:
    description:
      - With O(state=drained), how many seconds after the first node of the run was put back these are cordoned at the
        earliest. For runs of one task after the other.
    type: int
    default: 0
  restart_timeout:
    description:
      - With O(state=available), seconds in which a node must have restarted, and again in which it must be well after that.
    type: int
    default: 1800
  on_failure:
    description:
      - What becomes of a node that can't be emptied in time. V(put_back) uncordons it, V(leave) leaves it cordoned, V(auto)
        puts it back unless it was empty before. With O(state=available) a node that fails stays cordoned, unless V(put_back).
    type: str
    choices: [auto, put_back, leave]
    default: auto
"""

EXAMPLES = r"""
- name: Empty a node
  bound_tokens.openshift.node_drain:
    nodes: [worker-0]

- name: Restart its host through its management controller
  community.general.redfish_command:
    category: Systems
    command: PowerGracefulRestart
    baseuri: bmc-worker-0.example.com
    username: "{{ bmc_username }}"
    password: "{{ bmc_password }}"

- name: Put it back as soon as it has proven that it is well
  bound_tokens.openshift.node_drain:
    nodes: [worker-0]
    state: available
"""

RETURN = r"""
run_id:
  description: The name of the run.
  returned: success, and on failure once the plan was made
  type: str
  sample: 20261122-075532-3fa2b1
batches:
  description: The nodes to work on, batch by batch; empty when nothing is to be done.
  returned: success, and on failure once the plan was made
  type: list
  elements: list
  sample: [[worker-0]]
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
      description:
        - How far it is - V(planned), V(draining), V(restarting), V(returning), V(done), V(failed) or V(gone).
        - A node that is empty and has yet to restart is V(restarting).
      type: str
      sample: restarting
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
      description: When the node was empty, for its restart; null when that was not seen.
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
summary:
  description: The sums.
  returned: success, and on failure once the plan was made
  type: dict
  sample: {"planned": 1, "done": 0, "failed": 0}
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._module import Context, run_module
from ..module_utils._node_module import NODE_ARG_SPEC, build_node_run, check_node_options
from ..module_utils._phases.node_batch import Way
from ..module_utils._plan.nodes import read_drain_request


def body(context: Context) -> dict[str, Any]:
    params = context.params
    run = build_node_run(
        context,
        read_drain_request(params),
        canary_pause=params["canary_pause"],
        way=Way.DRAIN if params["state"] == "drained" else Way.RETURN,
        requires_restart=params["require_restart"],
    )
    result = run.work(check_mode=context.check_mode)
    del result["estimate_seconds"]
    return result


def check(params: Mapping[str, Any]) -> None:
    read_drain_request(params)
    check_node_options(params)


def main() -> None:
    run_module(
        body,
        argument_spec={
            **NODE_ARG_SPEC,
            "nodes": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["drained", "available"], "default": "drained"},
            "require_restart": {"type": "bool", "default": True},
            "max_unavailable": {"type": "str", "default": "100%"},
            "max_unavailable_per_pool": {"type": "str"},
            "max_failures": {"type": "int", "default": 0},
            "canary_pause": {"type": "int", "default": 0},
            "restart_timeout": {"type": "int", "default": 1800},
            "on_failure": {"type": "str", "choices": ["auto", "put_back", "leave"], "default": "auto"},
        },
        check=check,
        keeps_runs=True,
    )


if __name__ == "__main__":
    main()
