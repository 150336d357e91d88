#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_apiserver_rollout
short_description: Wait until every kube-apiserver of an OpenShift cluster uses the service account issuer
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Waits until every control-plane node runs a revision of the kube-apiserver that holds the issuer, and proves it.
  - It is right also when it starts in the moment after the change. The documented condition
    C(AllNodesAtLatestRevision) then still tells of the revision before, for 30 to 47 seconds on a real cluster. This
    module goes by what the operator has taken over, in the order in which it does; the texts are returned for people.
  - API servers that go away meanwhile are normal and are waited for.
  - Changes are watched, so that O(wait_sleep) matters only where the caller has no permission for the verb C(watch) on
    C(kubeapiservers.operator.openshift.io).
  - A rollout that can't succeed ends the wait early, with the operator's own words. Short flaps, and marks that former
    failures have left, do not.
  - While it waits, a line for each change is shown; at the end only, when the module does not run on the machine that
    runs Ansible, or with C(become).
  - Changes nothing.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._run
  - bound_tokens.openshift._probe
  - bound_tokens.openshift._wait
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.info_module
  - bound_tokens.openshift._attributes.actiongroup_cluster
options:
  issuer:
    description:
      - The issuer that every API server shall use. Defaults to the one that the cluster's configuration asks for.
    type: str
  wait:
    description:
      - Whether to wait. Otherwise, and in check mode, RV(rollout) tells how things stand.
    default: true
  wait_timeout:
    description:
      - How many seconds to wait at most. A rollout takes 10 to 15 minutes on three control-plane nodes, sometimes more.
      - When the time is up the module fails, with the progress so far in RV(rollout).
    default: 2700
  operators:
    description:
      - Whether the ClusterOperators C(kube-apiserver) and C(authentication) must be available, not progressing and not
        degraded as well.
    type: bool
    default: false
  stable_seconds:
    description:
      - For how many seconds all of this must hold. Any change starts them anew.
    type: int
    default: 0
  reaction_timeout:
    description:
      - After how many seconds without any reaction of the operator the wait fails.
    type: int
    default: 300
  stuck_seconds:
    description:
      - For how many seconds a sign of failure must stand until the wait fails - an issuer that the operator can't use, or
        a kube-apiserver that crashes again and again.
    type: int
    default: 120
  installer_failures:
    description:
      - How often the installer may fail in a row on one node, with the revision that is waited for, until the wait fails.
      - At least the last of these failures must come during the wait. What has failed before may have been mended.
    type: int
    default: 3
  probe:
    default: true
"""

EXAMPLES = r"""
- name: Wait until all API servers use the issuer
  bound_tokens.openshift.kube_apiserver_rollout:
    issuer: https://issuer.example.com/cluster-1
  register: result

- name: Show when the last one had switched
  ansible.builtin.debug:
    var: result.rollout.finished_at
"""

RETURN = r"""
rollout:
  description: How the rollout stands; also returned on failure, with the progress so far.
  returned: always, unless the cluster could not be read at all
  type: dict
  contains:
    complete:
      description: Whether every API server uses the issuer.
      type: bool
      sample: true
    reason:
      description:
        - The first evidence that is still missing - V(OperatorHasNotReacted), V(NotObserved), V(RevisionChanging),
          V(NoRevisionYet), V(NodesBehind), V(ConditionsDiffer), V(ServersDiffer), V(ClusterOperatorsDiffer),
          V(TokensDiffer), V(NotStableYet) - or V(Complete), V(NothingSeen).
        - Why it can't be waited for any more - V(SpecificationDiffers), V(ConfigObservationDegraded),
          V(InstallerFailing), V(ServerCrashing), V(OperatorNotReacting).
      type: str
      sample: Complete
    explanation:
      description: The same in a sentence.
      type: str
      sample: All 3 kube-apiservers run revision 12 with the issuer https://issuer.example.com/cluster-1.
    issuer:
      description: The issuer that was waited for.
      type: str
      sample: https://issuer.example.com/cluster-1
    revision:
      description: The latest revision.
      type: int
      sample: 12
    message:
      description: Reason and message of the condition NodeInstallerProgressing, as OpenShift's documentation shows.
      type: str
      sample: "AllNodesAtLatestRevision\n3 nodes are at revision 12"
    finished_at:
      description:
        - When the last API server took over the issuer, by the cluster's clock.
        - Null when the rollout is not complete, and when the cluster no longer tells, because a later revision has been
          rolled out or the revision before has been removed.
      type: str
      sample: "2026-11-22T08:02:31Z"
    nodes:
      description: The control-plane nodes.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the node.
          type: str
          sample: master-0
        revision:
          description: The revision it runs.
          type: int
          sample: 12
        target_revision:
          description: The revision it is being taken to; null when it is not.
          type: int
          sample: 12
        switched_not_before:
          description: Its API server did not use the issuer before this moment; null when that is not known.
          type: str
          sample: "2026-11-22T07:56:10Z"
        switched_not_after:
          description: Its API server used the issuer from this moment on at the latest; null when that is not known.
          type: str
          sample: "2026-11-22T07:56:48Z"
"""

from typing import Any

from ..module_utils._module import PROBE_ARG_SPEC, RUN_ARG_SPEC, Context, probe_of, run_module
from ..module_utils._options import WAIT_ARG_SPEC
from ..module_utils._phases.rollout import look_at_rollout, wait_for_rollout
from ..module_utils._plan.patience import BLIND, Patience


def body(context: Context) -> dict[str, Any]:
    params, probe = context.params, probe_of(context.params)
    issuer, operators = params["issuer"], params["operators"]
    if context.check_mode or not params["wait"]:
        rollout = look_at_rollout(context.cluster, issuer, probe=probe, clock=context.clock, operators=operators)
    else:
        rollout = wait_for_rollout(
            context.cluster,
            issuer,
            probe=probe,
            options=context.wait_options(),
            clock=context.clock,
            operators=operators,
            patience=Patience(
                reaction=params["reaction_timeout"],
                stuck=params["stuck_seconds"],
                installer_failures=params["installer_failures"],
                stable=params["stable_seconds"],
                blind=max(BLIND, 3 * params["wait_sleep"]),
            ),
            say=context.progress,
            warn=context.warn,
        )
    return {"changed": False, "rollout": rollout}


def main() -> None:
    run_module(
        body,
        argument_spec={
            **WAIT_ARG_SPEC,
            **PROBE_ARG_SPEC,
            **RUN_ARG_SPEC,
            "issuer": {"type": "str"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 2700},
            "operators": {"type": "bool", "default": False},
            "stable_seconds": {"type": "int", "default": 0},
            "reaction_timeout": {"type": "int", "default": 300},
            "stuck_seconds": {"type": "int", "default": 120},
            "installer_failures": {"type": "int", "default": 3},
        },
    )


if __name__ == "__main__":
    main()
