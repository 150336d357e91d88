#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation_record
short_description: Begin, take up, finish or show a run that changes the service account issuer
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Keeps the record of a run in the ConfigMap C(bound-tokens-run) - its ID, the issuer and the former one, when each
    API server took over the issuer, and how far the renewal is in each namespace. Whatever interrupts a run, another
    one goes on where it stopped, also from another machine.
  - Two runs never work at once. A module that is given the O(run_id) holds the lease C(bound-tokens-run) while it
    works, and renews it every 15 seconds. A lease that has not been renewed for 60 seconds, observed on the clock of
    the machine that watches, may be taken; so after a kill the next run waits for up to a minute.
  - The namespace is created when it is missing, and stays. The record of the last run stays until another one begins.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._run
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
  state:
    description:
      - V(begun) begins a run to O(issuer), or takes up the one that is recorded.
      - V(finished) marks the run O(run_id) as finished.
      - V(shown) changes nothing and returns the record.
    type: str
    choices: [begun, finished, shown]
    default: begun
  issuer:
    description:
      - The issuer that the run sets. Required when O(state=begun).
    type: str
  run_id:
    description:
      - A name for the run, of letters, digits, dots, dashes and underscores. Required when O(state=finished).
      - Without it the recorded run to the same issuer is taken up, or a new name is made.
  take_over:
    description:
      - Whether to put this run in the place of one that is recorded as not finished. To the same issuer it is
        continued, to another one it is given up.
      - A module that is at work is never robbed of its lease; end it first.
    type: bool
    default: false
  strategy:
    description:
      - How the run renews holders of tokens, kept for whoever goes on or verifies. Without it, what the record holds stays.
    type: dict
    suboptions:
      name:
        description: The strategy of the role rotation.
        type: str
        required: true
        choices: [pods, workloads, nodes, kubelets, wait, all_pods]
      namespaces:
        description: Other strategies for some of the namespaces; the first entry that fits counts.
        type: list
        elements: dict
        default: []
        suboptions:
          namespaces:
            description: Names or globs.
            type: list
            elements: str
            required: true
          strategy:
            description: The strategy there.
            type: str
            required: true
            choices: [pods, workloads, wait, all_pods]
  needed_for:
    description:
      - What later tasks of the run will do. What the caller lacks for any of it is told in one list, and the run is not
        begun.
      - V(issuer) is the change of the issuer with its checks and the wait, V(revocation) the removal of trusted issuers,
        V(probe) making tokens for the service account C(default/default), V(eviction), V(deletion), V(rollout) and
        V(recreation) the renewal of pods in any namespace, V(holders) judging them by their tokens, V(node_restart) and
        V(kubelet_restart) the restart of nodes and kubelets, V(token_files) and V(token_uses) the audit
        by the token files on the nodes and by the audit logs.
    type: list
    elements: str
    choices:
      - deletion
      - eviction
      - holders
      - issuer
      - kubelet_restart
      - node_restart
      - probe
      - recreation
      - revocation
      - rollout
      - token_files
      - token_uses
    default: []
"""

EXAMPLES = r"""
- name: Begin a run, or take up the one that was interrupted
  bound_tokens.openshift.rotation_record:
    issuer: https://issuer.example.com/cluster-1
  register: begun

- name: Renew pods as a part of it
  bound_tokens.openshift.pod_restart:
    run_id: "{{ begun.run.run_id }}"

- name: Finish it
  bound_tokens.openshift.rotation_record:
    state: finished
    run_id: "{{ begun.run.run_id }}"
"""

RETURN = r"""
run:
  description: The record of the run; null when there is none.
  returned: success, and when another run is not finished
  type: dict
  contains:
    run_id:
      description: The name of the run.
      type: str
      sample: 20261122-075532-3fa2b1
    issuer:
      description: The issuer that it sets.
      type: str
      sample: https://issuer.example.com/cluster-1
    former_issuer:
      description: The issuer before; null when the run found its own set already.
      type: str
      sample: https://kubernetes.default.svc
    phase:
      description: How far it is - V(planned), V(issuer), V(rollout), V(renewal), V(verification) or V(done).
      type: str
      sample: renewal
    started_at:
      description: When it began, by the clock of the machine that ran Ansible.
      type: str
      sample: "2026-11-22T07:55:30Z"
    updated_at:
      description: When the record was last written, by the clock of the machine that ran Ansible.
      type: str
      sample: "2026-11-22T08:04:11Z"
    holder:
      description: User and host that wrote it last.
      type: str
      sample: operator@bastion
    finished_at:
      description: When the last API server took over the issuer, by the cluster's clock; null when it is not known.
      type: str
      sample: "2026-11-22T08:02:31Z"
    strategy:
      description: How holders of tokens are renewed, as whoever ran it last has said; empty when nobody has.
      type: dict
      sample: {"name": "wait", "namespaces": [{"namespaces": ["team-a-*"], "strategy": "workloads"}]}
    nodes:
      description: When each API server took over the issuer, as far as some run has seen it.
      type: list
      elements: dict
      sample: [{"name": "master-0", "switched_not_before": "2026-11-22T07:56:10Z", "switched_not_after": "2026-11-22T07:56:48Z"}]
    namespaces:
      description: What all runs of this name have planned and renewed together, with the seconds they worked on it.
      type: list
      elements: dict
      sample: [{"name": "web", "tier": "user namespaces", "planned": 3, "renewed": 3, "seconds": 12.4}]
reason:
  description: V(NoRecord), V(Finished), V(NothingDone), V(SameRun), V(TakenOver), V(Done) or V(Found).
  returned: success
  type: str
  sample: SameRun
explanation:
  description: The same in a sentence.
  returned: success
  type: str
  sample: The run 20261122-075532-3fa2b1 goes on.
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._module import RUN_ARG_SPEC, Context, describe_place, make_run_id, run_module
from ..module_utils._phases.run import RunOffice, RunRequest
from ..module_utils._plan.issuer import validate_issuer
from ..module_utils._plan.permissions import NEEDS
from ..module_utils._plan.run_record import NAMESPACE_STRATEGIES, STRATEGIES
from ..module_utils._run import RecordStore


def body(context: Context) -> dict[str, Any]:
    params = context.params
    office = RunOffice(
        cluster=context.cluster,
        store=RecordStore(cluster=context.cluster, namespace=params["record_namespace"]),
        clock=context.clock,
        holder=describe_place(),
        acquire=context.acquire,
    )
    if params["state"] == "shown":
        return office.show()
    if params["state"] == "finished":
        return office.finish(params["run_id"], check_mode=context.check_mode)
    request = RunRequest(
        issuer=params["issuer"],
        run_id=params["run_id"],
        new_id=make_run_id(),
        take_over=params["take_over"],
        needed_for=tuple(params["needed_for"]),
        strategy=params["strategy"],
    )
    return office.begin(request, check_mode=context.check_mode)


def check(params: Mapping[str, Any]) -> None:
    if params["state"] == "begun":
        validate_issuer(params["issuer"])


def main() -> None:
    run_module(
        body,
        argument_spec={
            **RUN_ARG_SPEC,
            "state": {"type": "str", "choices": ["begun", "finished", "shown"], "default": "begun"},
            "issuer": {"type": "str"},
            "take_over": {"type": "bool", "default": False},
            "strategy": {
                "type": "dict",
                "options": {
                    "name": {"type": "str", "required": True, "choices": list(STRATEGIES)},
                    "namespaces": {
                        "type": "list",
                        "elements": "dict",
                        "default": [],
                        "options": {
                            "namespaces": {"type": "list", "elements": "str", "required": True},
                            "strategy": {"type": "str", "required": True, "choices": list(NAMESPACE_STRATEGIES)},
                        },
                    },
                },
            },
            "needed_for": {"type": "list", "elements": "str", "choices": sorted(NEEDS), "default": []},
        },
        check=check,
        keeps_runs=True,
        required_if=[("state", "begun", ["issuer"]), ("state", "finished", ["run_id"])],
    )


if __name__ == "__main__":
    main()
