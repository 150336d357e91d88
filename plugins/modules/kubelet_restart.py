#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_restart
short_description: Restart kubelets one after the other, so that they rewrite the files with service account tokens
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Restarts the kubelets of nodes, one after the other, without cordon or drain. A kubelet keeps tokens in its memory only, so
    that within about two minutes after its start it has rewritten every file of a projected volume on its node with a new
    token. Programs that read their files again follow, as all do that use the usual client libraries; no container is restarted.
  - What keeps a copy of a token does not follow - a subPath mount, what an init container has copied, a program that reads its
    file once. M(bound_tokens.openshift.token_holders_info) tells which pods that concerns.
  - Restarts only kubelets that started before a moment, by default the end of the last rollout of the kube-apiservers. So a
    second run finds nothing to do, and one that was interrupted goes on where it stopped.
  - Each one is restarted by C(systemctl restart kubelet.service) in a short-lived privileged pod on its node. The proof is a
    later moment of its start in its own metrics, its node Ready, reported since then, without a taint as unreachable, and all
    pods on it Ready that were Ready before, for ten seconds in a row.
  - Containers go on, but a pod with a readiness probe is not Ready for up to one period of that probe, until its new kubelet has
    probed it, and gets no new connections through its Services meanwhile. That is why the next kubelet waits for all of them.
  - The run ends at the first kubelet that does not come back; no other one is touched after it.
  - Workers go first, pool by pool and zone by zone, then the control plane.
  - Refuses to do anything while a rollout of the kube-apiservers runs, the cluster is being updated or the machine-config
    operator is at work, and where one of the nodes is not Ready. What others begin in the middle of a run is waited for before
    the next kubelet, for up to O(gate_timeout).
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._node_selection
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
      - With O(require_rollout=false) and without O(started_before) every run restarts all kubelets.
options:
  started_before:
    description:
      - Restart the kubelets that started at this moment or before, in RFC 3339, without a zone in UTC.
      - Defaults to the end of the last rollout of the kube-apiservers.
    type: str
  require_rollout:
    description:
      - Whether to refuse while a rollout of the kube-apiservers runs. With V(false), rollouts are not looked at.
    type: bool
    default: true
  gate_timeout:
    description:
      - Seconds in which what others do must have ended before a kubelet is restarted.
    type: int
    default: 1800
  skip_gates:
    description:
      - What others do that is not looked at before each kubelet.
      - V(pools) - no pool is degraded, and no node is being updated by the machine-config operator.
      - V(update) - the cluster is not being updated.
      - V(rollout) - no rollout of the kube-apiservers runs; at the start O(require_rollout) asks for that.
    type: list
    elements: str
    choices: [pools, update, rollout]
    default: []
  image:
    description:
      - The image of the pods that restart the kubelets; it must be on every node and contain C(chroot).
      - Defaults to the one of the machine-config daemon, which every OpenShift node has.
    type: str
  run_id:
    description:
      - A name for the run, which others see in its lease while it works. Which kubelets are done is told by themselves.
    type: str
  record_namespace:
    description:
      - The namespace in which the lease of runs is kept.
    type: str
    default: bound-tokens
  wait_timeout:
    description:
      - Seconds in which a kubelet must be back after it was restarted.
    type: int
    default: 300
  wait_sleep:
    description:
      - Seconds between two looks at the cluster.
    type: int
    default: 2
"""

EXAMPLES = r"""
- name: Show which kubelets would be restarted
  bound_tokens.openshift.kubelet_restart:
  check_mode: true
  register: plan

- name: Have the workers' kubelets fetch new tokens
  bound_tokens.openshift.kubelet_restart:
    pools: [worker]

- name: Wait until they have
  bound_tokens.openshift.token_holders_info:
    wait: true
"""

RETURN = r"""
started_before:
  description: Kubelets that started later are left alone; null when all are restarted.
  returned: success, and on failure once the plan was made
  type: str
  sample: "2026-11-22T08:02:31Z"
kubelets:
  description: The kubelets that are selected, in the order in which they are restarted.
  returned: success, and on failure once the plan was made
  type: list
  elements: dict
  contains:
    node:
      description: The name of the node.
      type: str
      sample: worker-0
    pool:
      description: The pool of the node.
      type: str
      sample: worker
    outcome:
      description: V(planned), V(left) because it started after RV(started_before), V(restarted) or V(failed).
      type: str
      sample: restarted
    started_before:
      description: When it was started before the run, by the node's clock.
      type: str
      sample: "2026-11-20T06:11:09Z"
    started_at:
      description: When it was started, as far as is known now, by the node's clock.
      type: str
      sample: "2026-11-22T08:31:40Z"
    message:
      description: Why it failed; null when it has not.
      type: str
      sample: >-
        Waiting for the kubelet of worker-0 to be back did not end within 300 s; last seen: it does not answer
findings:
  description:
    - What would be refused before the first kubelet, such as missing permissions. Empty but in check mode, since a run fails
      with it.
  returned: success, and on failure once the plan was made
  type: list
  elements: dict
  sample:
    - node: ""
      check: Permissions
      message: "No kubelet was restarted: you are not allowed to get nodes/proxy; ask a cluster administrator for this."
      option: null
      blocking: true
summary:
  description: How many kubelets are V(planned), V(left), V(restarted) and V(failed).
  returned: success, and on failure once the plan was made
  type: dict
  sample: {"planned": 0, "left": 1, "restarted": 4, "failed": 0}
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._module import RUN_ARG_SPEC, Context, make_run_id, run_module
from ..module_utils._phases.gates import Gatekeeper
from ..module_utils._phases.kubelets import KubeletRun
from ..module_utils._plan.gates import GATE_TIMEOUT, OF_OTHERS
from ..module_utils._plan.kubelets import read_kubelet_request
from ..module_utils._plan.nodes import SELECTION_ARG_SPEC


def body(context: Context) -> dict[str, Any]:
    request = read_kubelet_request(context.params)
    keeper = Gatekeeper(
        cluster=context.cluster,
        request=request.gates,
        node_request=request.nodes,
        clock=context.clock,
        say=context.progress,
        warn=context.warn,
        refusal="No kubelet was restarted",
    )
    run = KubeletRun(
        cluster=context.cluster,
        request=request,
        keeper=keeper,
        clock=context.clock,
        acquire=lambda: context.acquire(context.params["run_id"] or make_run_id()),
        options=context.wait_options(),
        say=context.progress,
    )
    return run.work(check_mode=context.check_mode)


def check(params: Mapping[str, Any]) -> None:
    read_kubelet_request(params)


def main() -> None:
    run_module(
        body,
        argument_spec={
            **RUN_ARG_SPEC,
            **SELECTION_ARG_SPEC,
            "started_before": {"type": "str"},
            "require_rollout": {"type": "bool", "default": True},
            "gate_timeout": {"type": "int", "default": GATE_TIMEOUT},
            "skip_gates": {"type": "list", "elements": "str", "default": [], "choices": list(OF_OTHERS)},
            "image": {"type": "str"},
            "wait_timeout": {"type": "int", "default": 300},
            "wait_sleep": {"type": "int", "default": 2},
        },
        check=check,
        keeps_runs=True,
    )


if __name__ == "__main__":
    main()
