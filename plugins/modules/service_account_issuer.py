#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: service_account_issuer
short_description: Set the service account issuer of an OpenShift cluster
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Sets the one field C(spec.serviceAccountIssuer) of C(authentications.config.openshift.io/cluster), or puts it back
    to the default, and touches nothing else in that object.
  - An issuer that could harm the cluster is refused before anything is written. The API itself accepts any text, and
    a malformed one keeps kube-apiservers from starting after the next change, for up to 24 hours.
  - Afterwards the kube-apiservers roll out one after the other; wait for that with
    M(bound_tokens.openshift.kube_apiserver_rollout).
  - The former issuer stays trusted for 24 hours, counted from the change.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._run
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.actiongroup_cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  issuer:
    description:
      - The URL that tokens shall name as their issuer, with scheme C(https), a host, and neither user, query, fragment
        nor trailing slash.
      - Required when O(state=present).
    type: str
  state:
    description:
      - V(present) sets O(issuer).
      - V(default) sets C(https://kubernetes.default.svc) explicitly. Removing the field instead would make some
        releases distrust all former issuers at once.
    type: str
    choices: [present, default]
    default: present
  skip_checks:
    description:
      - Names of checks that shall not stop the change.
      - V(permissions) asks whether the caller may write. V(quiet) demands that no rollout and no update is running and
        that the operator is not degraded. V(room) demands a free place among the ten issuers that can be trusted.
    type: list
    elements: str
    choices: [permissions, quiet, room]
    default: []
"""

EXAMPLES = r"""
- name: Set the issuer
  bound_tokens.openshift.service_account_issuer:
    issuer: https://issuer.example.com/cluster-1

- name: Show what would change, and what speaks against it
  bound_tokens.openshift.service_account_issuer:
    issuer: https://issuer.example.com/cluster-1
  check_mode: true
  diff: true

- name: Go back to the default issuer
  bound_tokens.openshift.service_account_issuer:
    state: default
"""

RETURN = r"""
issuer:
  description: The issuer, as wanted and as the operator reported it before the change.
  returned: success, and when the change was refused
  type: dict
  contains:
    name:
      description: The issuer that is asked for.
      type: str
      sample: https://issuer.example.com/cluster-1
    previous:
      description: The issuer that was asked for before.
      type: str
      sample: https://kubernetes.default.svc
    active:
      description: The issuer that the operator reported as active; null on releases that do not report it.
      type: str
      sample: https://kubernetes.default.svc
    former:
      description: Issuers that are still trusted, with the time at which that ends.
      type: list
      elements: dict
      sample: [{"name": "https://old.example.com", "expires": "2026-11-23T07:55:32Z"}]
    former_trusted_until:
      description: When the last of the former issuers ends being trusted; null when there is none.
      type: str
      sample: "2026-11-23T07:55:32Z"
preflight:
  description: What speaks against the change now. Empty when nothing has to change.
  returned: success, and when the change was refused
  type: list
  elements: dict
  contains:
    check:
      description: Name of the check, as in O(skip_checks).
      type: str
      sample: quiet
    blocking:
      description: Whether the finding stops the change.
      type: bool
      sample: true
    message:
      description: The finding.
      type: str
      sample: "The cluster is being updated: Working towards 4.21.9"
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._model import DEFAULT_ISSUER
from ..module_utils._module import RUN_ARG_SPEC, Context, run_module
from ..module_utils._phases.issuer import apply_issuer
from ..module_utils._plan.issuer import validate_issuer


def body(context: Context) -> dict[str, Any]:
    wanted = DEFAULT_ISSUER if context.params["state"] == "default" else context.params["issuer"]
    return apply_issuer(
        context.cluster, wanted, check_mode=context.check_mode, skip_checks=context.params["skip_checks"]
    )


def check(params: Mapping[str, Any]) -> None:
    if params["state"] == "present":
        validate_issuer(params["issuer"])


def main() -> None:
    run_module(
        body,
        argument_spec={
            **RUN_ARG_SPEC,
            "issuer": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "default"], "default": "present"},
            "skip_checks": {
                "type": "list",
                "elements": "str",
                "choices": ["permissions", "quiet", "room"],
                "default": [],
            },
        },
        check=check,
        required_if=[("state", "present", ["issuer"])],
    )


if __name__ == "__main__":
    main()
