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
      - It is created where it is missing. One that exists must carry the label
        C(app.kubernetes.io/managed-by=bound_tokens.openshift), which only administrators can give it. Whoever may work in that
        namespace can forge what runs keep there.
    type: str
    default: bound-tokens
  take_over:
    description:
      - Whether to go on with what another run has begun and not finished, with its nodes and its cordons.
      - Nodes that the other run has restarted are not restarted again, unless O(run_id) is that of a rotation whose rollout of
        the kube-apiservers ended after that.
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
      - Also whether a node may be emptied or restarted that this run itself is on, in a pod. The run ends with
        that pod, and another one goes on where it stopped.
    type: bool
    default: false
  gates:
    description:
      - What must hold before a node is begun, besides what is looked at anyway (see O(skip_gates)).
      - Each is either about objects of the cluster, which are asked with a JMESPath expression, or about an address that must
        answer.
    type: list
    elements: dict
    default: []
    suboptions:
      description:
        description:
          - How the gate is called in messages. Defaults to the object or the address.
        type: str
      api_version:
        description:
          - The API group and version of the objects, such as V(ceph.rook.io/v1).
        type: str
      kind:
        description:
          - The kind of the objects, such as V(CephCluster).
        type: str
      name:
        description:
          - The name of the object. Without it, all objects count.
        type: str
      namespace:
        description:
          - The namespace of the objects. Without it, those of all namespaces count.
        type: str
      label_selectors:
        description:
          - Labels that the objects must have, such as V(app=web).
        type: list
        elements: str
      expression:
        description:
          - What the objects are asked, in JMESPath. Needs the Python package jmespath.
        type: str
      value:
        description:
          - What the expression must give for every object; there must be at least one.
          - Texts, numbers and booleans are the same when they read the same, whether capital letters are used or not.
        type: raw
      url:
        description:
          - An http or https address. Nothing of the cluster's credentials is sent to it.
        type: str
      status:
        description:
          - The HTTP status with which it must answer, 200 if not given. Redirects are not followed.
        type: int
      ca_cert:
        description:
          - A file with the CA certificates by which its certificate is verified. Defaults to those of the system.
        type: path
      validate_certs:
        description:
          - Whether its certificate is verified, which it is if not given.
        type: bool
  gate_timeout:
    description:
      - Seconds in which all gates must be open.
      - Also seconds in which a rollout of the kube-apiservers that begins while nodes are under way must go on. They are paused
        meanwhile, and fail when it does not.
    type: int
    default: 1800
  stable_seconds:
    description:
      - How many seconds in a row all gates must be open before a node is begun.
    type: int
    default: 10
  skip_gates:
    description:
      - Gates that are not looked at. Nodes that are put back wait for none.
      - V(operators) - every ClusterOperator is available, neither progressing nor degraded, unless it was so at the start.
      - V(etcd) - before a control-plane node, etcd and the kube-apiservers can do without one more.
      - V(pools) - no pool is degraded, and no node is being updated by the machine-config operator. Without it such a node is
        restarted and put back, too.
      - V(budgets) - the disruption budgets that were satisfied at the start are so again.
      - V(update) - the cluster is not being updated.
      - V(rollout) - no rollout of the kube-apiservers runs.
      - V(room) - no more nodes, of a pool and of all, are unavailable than may be.
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
      - The moment after which no node is begun any more, such as V(2026-11-22T05:00:00Z).
    type: str
  wait_sleep:
    description:
      - Seconds between two looks at the nodes.
    type: int
    default: 1
"""
