# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  run_id:
    description:
      - A name for the run. A node that the run of this name has restarted is not restarted again, also not when the run was
        finished.
      - Without it a run that was interrupted is taken up, and one that is finished is forgotten.
    type: str
  record_namespace:
    description:
      - The namespace in which the record of the run and its lease are kept.
    type: str
    default: bound-tokens
  take_over:
    description:
      - Whether to go on with what another run has begun and not finished, with its nodes and its cordons.
    type: bool
    default: false
  delete_options:
    description:
      - How pods are taken from a node. The names are those of M(kubernetes.core.k8s_drain).
    type: dict
    suboptions:
      force:
        description:
          - Whether pods without a controller may go. Nobody creates them anew, so O(allow_disruption=true) is needed, too.
        type: bool
        default: false
      ignore_daemonsets:
        description:
          - Whether pods of DaemonSets stay, as they have to. With V(false), a node that has any is refused.
        type: bool
        default: true
      delete_emptydir_data:
        description:
          - Whether pods with an C(emptyDir) may go, and with them what is in it.
        type: bool
        default: false
      disable_eviction:
        description:
          - Whether pods are deleted past disruption budgets. Needs O(allow_disruption=true).
        type: bool
        default: false
      delete_after:
        description:
          - Seconds after which a pod that a disruption budget does not let go is deleted all the same. Needs
            O(allow_disruption=true). By default this is never done.
        type: int
      terminate_grace_period:
        description:
          - How many seconds each pod gets to end. Defaults to what the pod itself asks for.
        type: int
      wait_timeout:
        description:
          - Seconds in which a node must be empty.
        type: int
        default: 1800
  allow_disruption:
    description:
      - Whether more may be interrupted than asked for, see O(delete_options).
    type: bool
    default: false
  gates:
    description:
      - What must hold before a node is begun, besides what is looked at anyway (see O(skip_gates)). Each is either an object of
        the cluster (C(api_version), C(kind), C(name) or C(label_selectors), C(namespace)) with a JMESPath C(expression) and the
        C(value) that it must have, or a C(url) that must answer with the HTTP C(status) (default 200; C(ca_cert),
        C(validate_certs)). C(description) is how it is called in messages.
    type: list
    elements: dict
    default: []
  gate_timeout:
    description:
      - Seconds in which all gates must be open.
    type: int
    default: 1800
  stable_seconds:
    description:
      - How many seconds in a row all gates must be open before a node is begun.
    type: int
    default: 10
  skip_gates:
    description:
      - Gates that are not looked at.
      - V(operators) - every ClusterOperator is available, neither progressing nor degraded, unless it was so at the start.
      - V(etcd) - before a control-plane node, etcd and the kube-apiservers can do without one more.
      - V(pools) - no pool is degraded, and no node is being updated by the machine-config operator.
      - V(budgets) - the disruption budgets that were satisfied at the start are so again.
      - V(update) - the cluster is not being updated.
      - V(rollout) - no rollout of the kube-apiservers runs.
      - V(room) - no more nodes of a pool are unavailable than may be.
    type: list
    elements: str
    choices: [operators, etcd, pools, budgets, update, rollout, room]
    default: []
  window:
    description:
      - When nodes may be begun, every day, such as V(22:00-05:00) in UTC or V(22:00-05:00+02:00). Outside of it the task fails;
        run again within it, it goes on where it stopped.
    type: str
  deadline:
    description:
      - The moment after which no node is begun any more, in ISO 8601.
    type: str
  wait_sleep:
    description:
      - Seconds between two looks at the nodes.
    type: int
    default: 1
"""
