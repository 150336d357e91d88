#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_restart
short_description: Renew the pods that hold a service account token from before a moment
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Renews pods namespace by namespace, and goes on to the next namespace only when the pods of the one before are gone
    and their owners have as many Ready pods as they had; in namespaces of the platform, while no ClusterOperator is
    degraded that was not degraded before.
  - Renews only pods that hold a service account token and started before a moment, by default the end of the last
    rollout of the kube-apiservers. A second run finds nothing to do.
  - The order is platform operators, operands, ingress and monitoring, user namespaces, and at last the namespace that
    the automation itself runs in, as its service account tells or else the pod that it runs in.
  - Spares the API servers. Twenty requests are under way at most, and beyond a burst of 300 no more than 100 a second begin.
  - Of the Ready pods of one owner, never more are down at once than its own strategy allows (C(maxUnavailable) of a
    Deployment or DaemonSet; otherwise one), whether it has a disruption budget or not, and a new one counts only when it has
    been Ready for C(minReadySeconds). Those of a StatefulSet go in its own order, the highest ordinal first.
  - Owners that were not whole when their namespace was begun need not be so at its end; they owe the pods that were Ready.
  - While the pods that went can't be created anew, as with a quota that is used up, no more go in their namespace. A pod that
    does not go because of its finalizers, or whatever else stands still for O(wait_timeout) and the longest C(minReadySeconds)
    of its namespace, ends the run and is named.
  - Pods that appear meanwhile are left alone. Namespaces that are being deleted are left alone, too.
  - Pods on nodes that the run O(run_id) has restarted since are left alone; their kubelets have fetched new tokens for them.
  - Static, finished, terminating and not yet started pods are left alone. Pods without a controller, which nobody would
    create anew, and pods that run to completion, which would start over, are left alone and named in RV(pods). The former
    are renewed, too, with O(recreate_bare_pods).
  - What a run that was interrupted has not created anew of them, the next one creates, with that option or without.
  - Refuses to do anything while a rollout of the kube-apiservers runs, and where one of the pods is the one in which
    the run itself is. While a rollout that has begun since runs, no pod goes. Fails when the cluster is
    set to another issuer meanwhile.
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
    support: partial
    details:
      - With O(all=true) and without O(started_before) every run renews all pods.
options:
  namespaces:
    description:
      - The namespaces, by name or glob. One that is given by its name must exist.
    type: list
    elements: str
    default: ["*"]
  exclude_namespaces:
    description:
      - Namespaces that are left alone, by name or glob.
    type: list
    elements: str
    default: []
  namespace_selectors:
    description:
      - Labels that the namespaces must have, such as C(team=a), C(team!=b) or C(team in (a,b)), of those that
        O(namespaces) names.
    type: list
    elements: str
    default: []
  label_selectors:
    description:
      - Labels that the pods must have, such as C(app=web). The other pods of an owner count for how many may be down.
    type: list
    elements: str
    default: []
  started_before:
    description:
      - Renew the pods that started at this moment or before, in ISO 8601, without a zone in UTC.
      - Defaults to the end of the last rollout of the kube-apiservers, by the cluster's clock, as
        M(bound_tokens.openshift.kube_apiserver_rollout) returns it. Required when the cluster does not tell that.
      - With O(all=true) there is no default, so that without this option all pods are renewed, whenever they started.
    type: str
  method:
    description:
      - V(evict) honours disruption budgets; what one forbids is tried again until O(wait_timeout).
      - V(delete) ignores disruption budgets.
      - V(rollout) changes the template of each Deployment, StatefulSet and DaemonSet once, as C(kubectl rollout restart)
        does, which then replaces its pods by its own strategy, past disruption budgets. It is done when the rollout is
        complete and no old pod is left. A rollout that was asked for since O(started_before) is not asked for again.
      - V(auto) evicts, but rolls out what an eviction would leave without a Ready pod (a single replica) or what no
        eviction is ever granted for (a budget that all pods must be healthy for, or several budgets), where the rollout brings
        the new pod before the old one goes (C(maxSurge) without C(maxUnavailable)).
      - With V(rollout) and V(auto), the pods of all others are evicted, with the reason in RV(pods[].method_reason) -
        those in namespaces of the platform (C(openshift-*), C(kube-*)) and of owners that an operator keeps (an owner of
        their own, or a label C(app.kubernetes.io/managed-by) that names an operator), since it may put the template back;
        paused ones, those that update C(OnDelete) or with a C(partition), those of which not all pods are Ready and
        asked for; and kinds without rollouts.
      - A rollout that has begun goes on while one of the kube-apiservers runs.
      - Defaults to V(evict), with O(all=true) to V(delete).
    type: str
    choices: [evict, delete, rollout, auto]
  pace:
    description:
      - With V(owner), never more pods of an owner are down at once than its own strategy allows, and one where that allows
        none, as the default one of three replicas does; C(method=rollout) brings the new pod first there.
      - With V(none), all pods of a namespace go at once, as far as disruption budgets (with O(method=evict)) and
        O(max_pods) let them. Rollouts keep their owner's pace.
    type: str
    choices: [owner, none]
    default: owner
  max_namespaces:
    description:
      - How many namespaces may be under way at once. They are always of one part of the cluster, see
        RV(namespaces[].tier); the next part begins when the one before is done.
    type: int
    default: 1
  max_pods:
    description:
      - How many pods may be down at once because of this task, over all namespaces. A rollout counts as what its owner
        may take down. Without it, the pace of the owners and O(max_namespaces) are the only limits.
    type: int
  canary_namespace:
    description:
      - A namespace of those asked for that is renewed first and alone. Nothing else is touched unless it is done.
    type: str
  tokens:
    description:
      - Which of the pods that hold a token and started before the moment are renewed.
      - V(any) renews all of them.
      - V(old) leaves those alone that can't hold an old token any more, as M(bound_tokens.openshift.token_holders_info) tells by
        their specifications. Where a program may have read its file only before that was rewritten, the pod is renewed.
      - V(lasting) renews only those whose tokens do not become new by themselves as long as the former issuer is trusted - what
        lives in a C(subPath), in a copy of an init container or with a CSI driver, and files that the kubelet rewrites too
        late. Of all other programs it trusts that they read their files again.
      - Both take some more reads, of nodes, CSI drivers and, where these ask for tokens, persistent volumes.
    type: str
    choices: [any, old, lasting]
    default: any
  all:
    description:
      - Whether to renew all pods but static ones, whether they hold a token or not, finished ones too. Pods without a
        controller are then lost, unless O(recreate_bare_pods=true), and Jobs start over. This is what OpenShift's
        documentation does.
      - Needs O(allow_disruption=true).
    type: bool
    default: false
  overrides:
    description:
      - What holds in some of the namespaces in place of the task's own options. The first entry that fits a namespace counts.
    type: list
    elements: dict
    default: []
    suboptions:
      namespaces:
        description: The namespaces, by name or glob.
        type: list
        elements: str
        required: true
      method:
        description: As O(method), which is the default.
        type: str
        choices: [evict, delete, rollout, auto]
      tokens:
        description: As O(tokens), which is the default.
        type: str
        choices: [any, old, lasting]
      all:
        description: As O(all), which is not the default. With it O(overrides[].method) is V(delete) if it is not given.
        type: bool
        default: false
  recreate_bare_pods:
    description:
      - Whether pods without any owner are renewed, too - they are sent away, and created anew from their own specification
        when they are gone. With O(pace=owner), one at a time in each namespace.
      - Needs O(allow_disruption=true), since each is down until it is created anew, whoever stands behind it, nobody but this
        module sees to that, and what is in its C(emptyDir) volumes is lost.
      - Before one goes, a dry run proves that admission would let its successor in, otherwise it is left alone with
        the server's words in RV(pods[].reason); and what it is created from is kept in a Secret in O(record_namespace),
        until its successor is Ready. A run that is killed in between loses nothing, the next one goes on from there.
      - What the cluster has added and adds again is no part of it, such as the node that the scheduler chose, the volume with
        the service account's token, the service account's pull secrets, and what security context constraints note. What
        admission webhooks have added is.
      - Pods of the platform (C(openshift-*), C(kube-*)), which operators create, and pods that run to completion are
        left alone all the same. With O(method=rollout) and O(method=auto), the others are evicted.
    type: bool
    default: false
  allow_disruption:
    description:
      - Whether more may be interrupted than asked for, see O(all) and O(recreate_bare_pods).
    type: bool
    default: false
  require_rollout:
    description:
      - Whether to refuse while a rollout of the kube-apiservers runs, and to pause while one that begins meanwhile runs. A
        pod that starts during one may get a token of the former issuer once more.
      - With V(false), rollouts are not looked at, and O(started_before) is required unless O(all=true).
    type: bool
    default: true
  terminate_grace_period:
    description:
      - How many seconds each pod gets to end. Defaults to what the pod itself asks for. Rollouts do not take it.
    type: int
  wait_timeout:
    description:
      - How many seconds the renewal of a namespace may stand still. The time counts anew whenever one of its pods is
        gone or an owner has more Ready pods than before, so that it need not grow with the number of pods. A namespace that
        waits for others because of O(max_pods) does not stand still.
      - When the time is up the module fails, with what was done so far in its result.
    type: int
    default: 600
  wait_sleep:
    description:
      - Seconds between two looks at the namespaces under way, at most. Where pods may be watched, the next look comes with the
        next change.
    type: int
    default: 2
"""

EXAMPLES = r"""
- name: Renew every pod that may hold a token of the former issuer
  bound_tokens.openshift.pod_restart:

- name: Show what would be renewed in the namespaces of two teams
  bound_tokens.openshift.pod_restart:
    namespaces: [team-a-*, team-b-*]
    exclude_namespaces: ["*-sandbox"]
  check_mode: true
  register: plan

- name: Renew the web pods of all namespaces of a team
  bound_tokens.openshift.pod_restart:
    namespace_selectors: [team=a]
    label_selectors: [app=web]

- name: Renew the pods that started before a moment
  bound_tokens.openshift.pod_restart:
    namespaces: [web]
    started_before: "2026-11-22T08:02:31Z"

- name: Renew without taking single replicas down, three namespaces at a time, a harmless one first
  bound_tokens.openshift.pod_restart:
    method: auto
    max_namespaces: 3
    max_pods: 20
    canary_namespace: sandbox

- name: Renew only what does not take a new token by itself, but roll the workloads of one team out
  bound_tokens.openshift.pod_restart:
    tokens: lasting
    overrides:
      - namespaces: [team-a-*]
        method: rollout
        tokens: old

- name: Renew pods without a controller, too
  bound_tokens.openshift.pod_restart:
    namespaces: [team-a-*]
    recreate_bare_pods: true
    allow_disruption: true

- name: Delete every pod, as OpenShift's documentation does
  bound_tokens.openshift.pod_restart:
    all: true
    allow_disruption: true
"""

RETURN = r"""
started_before:
  description: The moment that was used; null with O(all=true) and without O(started_before).
  returned: success, and on failure once the plan was made
  type: str
  sample: "2026-11-22T08:02:31Z"
namespaces:
  description:
    - The namespaces with pods to renew or to look at, in the order in which they are renewed.
  returned: success, and on failure once the plan was made
  type: list
  elements: dict
  contains:
    name:
      description: Name of the namespace.
      type: str
      sample: web
    tier:
      description:
        - The part of the cluster that it belongs to - V(platform operators), V(operands), V(ingress and monitoring),
          V(user namespaces) or V(own namespace).
      type: str
      sample: user namespaces
    planned:
      description: How many pods the plan renews.
      type: int
      sample: 3
    renewed:
      description: How many of them have been renewed; 0 in check mode.
      type: int
      sample: 3
    methods:
      description: How many pods go by each method - V(evict), V(delete), V(rollout), V(create).
      type: dict
      sample: {"evict": 1, "rollout": 2}
    left:
      description:
        - How many pods are left alone, by reason - V(Terminating), V(Static), V(Finished), V(NoToken), V(NotStarted),
          V(StartedAfter), V(NodeRestarted), V(NodeNotReady) (on such a node nobody ends a pod that is told to go), V(NoOwner),
          V(NotAdmitted), V(RunsToCompletion), V(NamespaceTerminating); with
          O(tokens) also the reasons that M(bound_tokens.openshift.token_holders_info) has for its verdicts.
      type: dict
      sample: {"NoOwner": 1, "StartedAfter": 4}
    seconds:
      description: How long it took; null in check mode and where nothing was done.
      type: float
      sample: 12.4
    estimated_seconds:
      description:
        - In check mode, how long it may take, by how long the present pods took from their start until they were Ready and
          how many of an owner may be down at once. How long they take to end is not known. Otherwise null.
      type: int
      sample: 40
pods:
  description: The pods that the plan renews, and those left alone that a person must look at.
  returned: success, and on failure once the plan was made
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the pod.
      type: str
      sample: web
    name:
      description: Name of the pod.
      type: str
      sample: web-7d9f8c6b5-x2x7k
    uid:
      description: UID of the pod.
      type: str
      sample: 0f2c1f0e-5a4e-4c5e-8f5e-0d6f4b1f3f55
    owner:
      description: Kind and name of its controller; null when it has none.
      type: str
      sample: ReplicaSet/web-7d9f8c6b5
    started_at:
      description: When it started; null when it has not.
      type: str
      sample: "2026-11-20T17:20:05Z"
    method:
      description:
        - How it goes - V(evict), V(delete) or V(rollout); V(create) when an earlier run has sent it away and not created it
          anew; null when it is left alone.
      type: str
      sample: evict
    method_reason:
      description:
        - Why it goes by that method, where the task left it open - V(SingleReplica), V(Budget) and V(RolloutRunning) for a
          rollout, V(Platform), V(Operator), V(Paused), V(OnDelete), V(Partition), V(NotWhole), V(NoRollout) for an eviction
          in its place. Otherwise null.
      type: str
      sample: Paused
    outcome:
      description:
        - V(planned) when nothing has been tried yet, V(renewed) when the pod is gone or was told to go, V(blocked) when
          the server would not let it go, V(left) when the plan leaves it alone, V(missing) when nobody else creates it, it
          is gone or was told to go, and is not created anew yet.
      type: str
      sample: renewed
    reason:
      description:
        - With V(blocked) and V(missing) the server's words, with V(left) V(NoOwner), V(RunsToCompletion), V(Static),
          V(NodeNotReady) or C(NotAdmitted) with the server's words.
        - With V(renewed) V(GoneAlready) when the pod went without this run, V(Terminating) when it was still there at
          the last look, as with V(missing). Otherwise null.
      type: str
      sample: NoOwner
findings:
  description:
    - In check mode, what to know before the pods are renewed, above all what will hold it up. Empty in a real run.
  returned: success, and on failure once the plan was made
  type: list
  elements: dict
  contains:
    namespace:
      description: Name of the namespace.
      type: str
      sample: web
    check:
      description:
        - V(Budget) for disruption budgets that let no pod go now, V(BudgetNeverAllows) for those that never do, V(Budgets) for
          pods with several; V(Paused), V(OnDelete), V(Partition),
          V(Operator), V(NoRollout) for owners whose pods are evicted though a rollout was asked for;
          V(NotWhole) for owners of which not all pods are Ready and asked for;
          V(SingleReplica) and V(BarePods) for those that will be down for a while; V(Finalizers); V(NamespaceTerminating).
      type: str
      sample: BudgetNeverAllows
    blocking:
      description: Whether the renewal would stand still at it until somebody changes it.
      type: bool
      sample: true
    message:
      description: What it is.
      type: str
      sample: >-
        web: budget web never lets a pod of ReplicaSet/web-7d9f8c6b5 go: 2 of 2 are healthy, 2 must be; have more replicas,
        or change it.
summary:
  description: The sums.
  returned: success, and on failure once the plan was made
  type: dict
  contains:
    planned:
      description: How many pods the plan renews.
      type: int
      sample: 3
    renewed:
      description: How many of them have been renewed; 0 in check mode.
      type: int
      sample: 3
    blocked:
      description: How many of them the server would not let go.
      type: int
      sample: 0
    left:
      description: How many pods are left alone in the namespaces looked at.
      type: int
      sample: 5
    reasons:
      description: The same by reason, as in RV(namespaces[].left).
      type: dict
      sample: {"NoToken": 2, "StartedAfter": 3}
    namespaces:
      description: How many namespaces have pods to renew.
      type: int
      sample: 1
    estimated_seconds:
      description: In check mode, how long all of it may take; otherwise null.
      type: int
      sample: 40
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._clock import retry
from ..module_utils._module import RUN_ARG_SPEC, Context, run_module
from ..module_utils._phases.pods import renew_pods
from ..module_utils._plan.node_record import find_restarted
from ..module_utils._plan.pods import read_request
from ..module_utils._run import RecordStore

METHODS = ["evict", "delete", "rollout", "auto"]
TOKENS = ["any", "old", "lasting"]


def body(context: Context) -> dict[str, Any]:
    run_id = context.params["run_id"]
    store = RecordStore(cluster=context.cluster, namespace=context.params["record_namespace"])
    nodes = retry(store.read_nodes, clock=context.clock) if run_id else None
    return renew_pods(
        context.cluster,
        read_request(context.params),
        check_mode=context.check_mode,
        options=context.wait_options(),
        clock=context.clock,
        say=context.progress,
        restarted=find_restarted(nodes, run_id),
        **({"note": context.run.note} if context.run else {}),
    )


def check(params: Mapping[str, Any]) -> None:
    read_request(params)


def main() -> None:
    run_module(
        body,
        argument_spec={
            **RUN_ARG_SPEC,
            "namespaces": {"type": "list", "elements": "str", "default": ["*"]},
            "exclude_namespaces": {"type": "list", "elements": "str", "default": []},
            "namespace_selectors": {"type": "list", "elements": "str", "default": []},
            "label_selectors": {"type": "list", "elements": "str", "default": []},
            "started_before": {"type": "str"},
            "method": {"type": "str", "choices": METHODS},
            "pace": {"type": "str", "choices": ["owner", "none"], "default": "owner"},
            "max_namespaces": {"type": "int", "default": 1},
            "max_pods": {"type": "int"},
            "canary_namespace": {"type": "str"},
            "tokens": {"type": "str", "choices": TOKENS, "default": "any"},
            "all": {"type": "bool", "default": False},
            "overrides": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "namespaces": {"type": "list", "elements": "str", "required": True},
                    "method": {"type": "str", "choices": METHODS},
                    "tokens": {"type": "str", "choices": TOKENS},
                    "all": {"type": "bool", "default": False},
                },
            },
            "recreate_bare_pods": {"type": "bool", "default": False},
            "allow_disruption": {"type": "bool", "default": False},
            "require_rollout": {"type": "bool", "default": True},
            "terminate_grace_period": {"type": "int"},
            "wait_timeout": {"type": "int", "default": 600},
            "wait_sleep": {"type": "int", "default": 2},
        },
        check=check,
    )


if __name__ == "__main__":
    main()
