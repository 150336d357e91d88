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
  - The former issuer stays trusted for 24 hours, counted from the change. Releases before 4.12 and its backports trust
    no former issuer; RV(preflight) then has a finding C(trust).
  - Changing the issuer keeps the key that tokens are signed with. Where a B(token) has leaked, see O(revoke_former);
    where the B(key) has leaked, the issuer is no help, and the key must be rotated instead.
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
      - Names of checks that are left out. All findings are in RV(preflight), in check mode too; blocking ones stop the
        change, others are warnings.
      - V(permissions) asks whether the caller may do what is needed.
      - V(topology) announces that the API is away where there is one control-plane node, and refuses where the control
        plane is hosted elsewhere.
      - V(managed) demands that the operator manages the kube-apiservers.
      - V(overrides) demands that C(spec.unsupportedConfigOverrides) of C(kubeapiservers.operator.openshift.io/cluster) sets
        neither C(service-account-issuer) nor C(api-audiences).
      - V(quiet) demands that no rollout and no update is running, that no ClusterOperator is degraded,
        and that no MachineConfigPool is updating or degraded.
      - V(poison) demands that no trusted issuer is one with which a kube-apiserver does not start, see O(repair_trusted).
      - V(room) demands a free place among the ten issuers that can be trusted.
      - V(trust) warns on releases that trust no former issuer.
      - V(documents) reads what is published at the new issuer's address, see O(documents).
      - V(credential) warns when the token that is used here stops being accepted, with the time.
    type: list
    elements: str
    choices: [credential, documents, managed, overrides, permissions, poison, quiet, room, topology, trust]
    default: []
  allow_non_url:
    description:
      - Whether O(issuer) may also be a plain name without a colon, which kube-apiservers accept. Nobody outside the
        cluster can verify tokens of such an issuer, and the API servers publish no discovery document.
    type: bool
    default: false
  documents:
    description:
      - Whether C(ISSUER/.well-known/openid-configuration) must be reachable from where this task runs, name exactly
        O(issuer), and have a C(jwks_uri) with every key that the cluster signs tokens with.
      - V(auto) requires it where the cluster's components get their cloud credentials by tokens (C(credentialsMode) of
        C(cloudcredentials.operator.openshift.io/cluster) is C(Manual)), and warns elsewhere.
      - V(required) always requires it, V(skip) does not look.
      - No credentials are sent. The default issuer is not looked at, since the cluster itself publishes its documents.
    type: str
    choices: [auto, required, skip]
    default: auto
  documents_ca_cert:
    description:
      - A file with the certificates of the authorities for reading the documents, instead of the system's.
    type: path
  documents_proxy:
    description:
      - The URL of the proxy for reading the documents. Defaults to that of the environment.
    type: str
  documents_timeout:
    description:
      - How many seconds each of the documents may take.
    type: int
    default: 10
  repair_trusted:
    description:
      - Whether entries that keep kube-apiservers from starting (malformed, empty or repeated ones) are removed from
        C(status.serviceAccountIssuers) of C(kubeapiservers.operator.openshift.io/cluster).
      - A malformed issuer gets there when it is set by other means than this module, and turns to poison when it is
        replaced by a good one, for 24 hours.
    type: bool
    default: false
  revoke_former:
    description:
      - Whether the former issuers stop being trusted at once instead of after 24 hours, where B(tokens) have leaked.
        Every token that is not of O(issuer) is refused after the rollout that follows.
      - Works only when O(issuer) is set and its rollout is complete. Renew what holds tokens before.
      - It does not help against a leaked signing B(key), since the key stays the same; rotate the key then.
    type: bool
    default: false
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

- name: Set an issuer whose documents must be there, behind a private authority
  bound_tokens.openshift.service_account_issuer:
    issuer: https://issuer.example.com/cluster-1
    documents: required
    documents_ca_cert: /etc/pki/private-ca.pem

- name: Remove malformed issuers that keep kube-apiservers from starting
  bound_tokens.openshift.service_account_issuer:
    issuer: https://issuer.example.com/cluster-1
    repair_trusted: true

- name: Distrust all former issuers after the rollout and the renewal
  bound_tokens.openshift.service_account_issuer:
    issuer: https://issuer.example.com/cluster-1
    revoke_former: true

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
removed:
  description: The trusted issuers that are removed by O(repair_trusted) or O(revoke_former).
  returned: success, and when the change was refused
  type: list
  elements: dict
  contains:
    name:
      description: The issuer.
      type: str
      sample: "http://x y"
    expires:
      description: Until when it would have been trusted; null for one that was active.
      type: str
      sample: "2026-11-23T07:55:32Z"
    reason:
      description: Why it is removed.
      type: str
      sample: contains a colon and is no valid URL (invalid character in host)
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._model import DEFAULT_ISSUER
from ..module_utils._module import RUN_ARG_SPEC, Context, run_module
from ..module_utils._phases.issuer import apply_issuer
from ..module_utils._plan.issuer import DocumentOptions, IssuerRequest, validate_issuer
from ..module_utils._plan.preflight import CHECK_NAMES

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **RUN_ARG_SPEC,
    "issuer": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "default"], "default": "present"},
    "skip_checks": {"type": "list", "elements": "str", "choices": list(CHECK_NAMES), "default": []},
    "allow_non_url": {"type": "bool", "default": False},
    "documents": {"type": "str", "choices": ["auto", "required", "skip"], "default": "auto"},
    "documents_ca_cert": {"type": "path"},
    "documents_proxy": {"type": "str", "no_log": True},
    "documents_timeout": {"type": "int", "default": 10},
    "repair_trusted": {"type": "bool", "default": False},
    "revoke_former": {"type": "bool", "default": False},
}


def body(context: Context) -> dict[str, Any]:
    params = context.params
    request = IssuerRequest(
        wanted=DEFAULT_ISSUER if params["state"] == "default" else params["issuer"],
        skip_checks=tuple(params["skip_checks"]),
        documents=DocumentOptions(
            mode=params["documents"],
            ca_cert=params["documents_ca_cert"],
            proxy=params["documents_proxy"],
            timeout=params["documents_timeout"],
        ),
        repair_trusted=params["repair_trusted"],
        revoke_former=params["revoke_former"],
    )
    result = apply_issuer(context.cluster, request, check_mode=context.check_mode, clock=context.clock)
    for finding in result["preflight"]:
        context.warn(finding["message"])
    return result


def check(params: Mapping[str, Any]) -> None:
    if params["state"] == "present":
        validate_issuer(params["issuer"], allow_non_url=params["allow_non_url"])


def main() -> None:
    run_module(body, argument_spec=ARGUMENT_SPEC, check=check, required_if=[("state", "present", ["issuer"])])


if __name__ == "__main__":
    main()
