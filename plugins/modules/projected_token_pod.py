#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: projected_token_pod
short_description: Run a pod with a projected, bound service account token, and prove what is mounted
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Has a pod that mounts a bound service account token by volume projection, with an audience and a lifetime of its
    own. With the default options it is the pod of OpenShift's documentation.
  - Waits until the pod is Ready and the claims of the token in the mounted file are as asked for. They are read inside
    the container, with C(cut); the token's header and signature never leave it.
  - Most fields of a pod can't be changed, and a running pod keeps its token's issuer until kubelet renews the token,
    up to 24 hours after the issuer has changed. O(recreate) says when the pod is deleted and created anew.
  - The new pod is put before admission in a dry run before the old one is deleted.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._run
  - bound_tokens.openshift._wait
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.actiongroup_cluster
attributes:
  check_mode:
    support: full
    details:
      - The claims of a pod that is there are read also in check mode.
  diff_mode:
    support: full
    details:
      - Shows those fields of the pod that the task sets.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) has the pod as asked for.
      - V(absent) deletes the pod of that name.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the pod. A pod of that name that belongs to another object, such as a ReplicaSet, is never touched.
    type: str
    default: nginx
  namespace:
    description:
      - Namespace of the pod and of its service account.
    type: str
    required: true
  image:
    description:
      - The container's image. Required when O(state=present).
      - It must run as another user than root, unless O(security_context=none), and for O(verify=true) have the program
        C(cut). The documentation's C(nginx) runs as root and can't start under its own security context.
    type: str
  service_account:
    description:
      - The service account that the token is for. It must exist.
    type: str
    default: build-robot
  audience:
    description:
      - The audience of the token.
    type: str
    default: vault
  expiration_seconds:
    description:
      - Lifetime of the token in seconds, at least V(600). Kubelet renews the token when 80 percent of it are over, or
        after 24 hours.
      - An API server may be configured to shorten it; the module then warns.
    type: int
    default: 7200
  mount_path:
    description:
      - Directory in the container at which the token's volume is mounted.
    type: str
    default: /var/run/secrets/tokens
  token_path:
    description:
      - Path of the token's file, relative to O(mount_path). The volume is named after it.
    type: str
    default: vault-token
  container_name:
    description:
      - Name of the container. Defaults to O(name).
    type: str
  command:
    description:
      - Replaces the image's entry point.
    type: list
    elements: str
    default: []
  args:
    description:
      - Replaces the arguments of the image's entry point.
    type: list
    elements: str
    default: []
  labels:
    description:
      - Labels of the pod. Other labels that it may have are left alone.
    type: dict
    default: {}
  annotations:
    description:
      - Annotations of the pod. Other annotations that it may have are left alone.
    type: dict
    default: {}
  security_context:
    description:
      - V(restricted) demands another user than root, the runtime's default seccomp profile, no privilege escalation,
        and drops all capabilities, as newer editions of OpenShift's documentation do.
      - V(none) sets none of these, as older editions. It does not remove what admission sets, and a pod that has a
        security context is taken as it is.
    type: str
    choices: [restricted, none]
    default: restricted
  run_as_user:
    description:
      - Numeric ID of the user that the container runs as. On OpenShift, better left to the namespace's range.
    type: int
  image_pull_policy:
    description:
      - When the image is pulled. Without it, the API server decides by the image's tag.
    type: str
    choices: [Always, IfNotPresent, Never]
  restart_policy:
    description:
      - Whether the container is started again after it has ended. Without it, always.
    type: str
    choices: [Always, OnFailure, Never]
  recreate:
    description:
      - When a pod that is there is deleted and created anew. Each value includes the ones before.
      - V(never) fails when the pod differs from what is asked for, or has finished.
      - V(when_changed) re-creates it then.
      - V(when_issuer_changed) re-creates it also when its token names another issuer than O(issuer). Before a pod is
        deleted, new tokens of O(service_account) must name O(issuer), or else it fails; this needs the permission to
        C(create) C(serviceaccounts/token).
    type: str
    choices: [never, when_changed, when_issuer_changed]
    default: never
  issuer:
    description:
      - The issuer that the token shall name, for O(recreate=when_issuer_changed).
      - Defaults to the one that C(authentications.config.openshift.io/cluster) asks for.
    type: str
  terminate_grace_period:
    description:
      - Seconds that the old pod is given to end. Defaults to the pod's own C(terminationGracePeriodSeconds).
    type: int
  verify:
    description:
      - Whether the claims of the mounted token are read and checked. Needs the permission to C(get) and C(create)
        C(pods/exec), and the program C(cut) in the image.
    type: bool
    default: true
  wait:
    description:
      - Whether to wait until the pod is Ready and its token is proven, or until it is gone.
      - When a pod is re-created, the end of the old one is waited for in any case.
    default: true
  wait_sleep:
    default: 2
  wait_timeout:
    description:
      - Seconds after which all of the waiting fails, with the progress so far in RV(pod).
      - The time that an old pod takes to go counts too, so give more than its C(terminationGracePeriodSeconds). When it
        is not gone in time, no new one is created, and RV(manifest) is returned.
    default: 300
seealso:
  - module: bound_tokens.openshift.kube_apiserver_rollout
  - plugin: bound_tokens.openshift.token_claims
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Run the pod of the documentation with an image that can run as any user
  bound_tokens.openshift.projected_token_pod:
    namespace: demo
    image: registry.example.com/team/app:1

- name: Run a pod with a token for another recipient
  bound_tokens.openshift.projected_token_pod:
    name: uploader
    namespace: demo
    image: registry.example.com/team/uploader:3
    service_account: uploader
    audience: storage.example.com
    expiration_seconds: 3600
    token_path: storage-token
    recreate: when_changed

- name: After a change of the issuer, have the pod take a token that names the new one
  bound_tokens.openshift.projected_token_pod:
    namespace: demo
    image: registry.example.com/team/app:1
    recreate: when_issuer_changed
  register: result

- name: Show the issuer that the mounted token names
  ansible.builtin.debug:
    var: result.pod.claims.iss

- name: Delete the pod
  bound_tokens.openshift.projected_token_pod:
    namespace: demo
    state: absent
"""

RETURN = r"""
action:
  description:
    - What was done - V(created), V(recreated), V(kept), V(deleted) or V(none); in check mode, what would be.
    - On failure, what had been done by then.
  returned: always, unless an option was refused
  type: str
  sample: created
reason:
  description:
    - Why - V(Missing), V(Present), V(Terminating), V(AsAsked), V(Changed), V(Finished) or V(IssuerChanged).
  returned: success
  type: str
  sample: Missing
explanation:
  description: The same in a sentence.
  returned: success
  type: str
  sample: Pod demo/nginx does not exist.
pod:
  description: The pod as last seen; in check mode, as it is before. Null when it is absent already.
  returned: always, unless an option was refused
  type: dict
  contains:
    name:
      description: Name of the pod.
      type: str
      sample: nginx
    namespace:
      description: Its namespace.
      type: str
      sample: demo
    uid:
      description: Its UID; null when there is none.
      type: str
      sample: 6f1c5a52-32e1-4e5e-8d27-0b1d3b6a8a55
    node:
      description: The node it runs on; null when it has none yet.
      type: str
      sample: worker-0
    image:
      description: The container's image.
      type: str
      sample: registry.example.com/team/app:1
    service_account:
      description: Its service account.
      type: str
      sample: build-robot
    phase:
      description: Its phase.
      type: str
      sample: Running
    ready:
      description: Whether it is Ready.
      type: bool
      sample: true
    started_at:
      description: When kubelet took it over, by the cluster's clock.
      type: str
      sample: "2026-11-22T08:02:31Z"
    token:
      description: The token as asked for. Null for O(state=absent).
      type: dict
      contains:
        path:
          description: Path of its file as the container sees it.
          type: str
          sample: /var/run/secrets/tokens/vault-token
        audience:
          description: Its audience.
          type: str
          sample: vault
        expiration_seconds:
          description: Its lifetime in seconds.
          type: int
          sample: 7200
        verdict:
          description:
            - Whether the claims are as asked for - V(AsAsked), V(LifetimeShortened), V(LifetimeExtended); on failure
              also V(AudienceDiffers), V(SubjectDiffers), V(PodDiffers) or V(IssuerDiffers). Null when they were not
              read.
          type: str
          sample: AsAsked
    claims:
      description: The claims of the token in the mounted file, decoded and not verified. Null when they were not read.
      type: dict
      sample:
        iss: https://issuer.example.com/cluster-1
        sub: system:serviceaccount:demo:build-robot
        aud: [vault]
        iat: 1790000000
        exp: 1790007200
manifest:
  description: The pod as it was to be created, to create it by hand.
  returned: when a pod was told to go and no new one was created
  type: dict
  sample: {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nginx", "namespace": "demo"}}
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..module_utils._errors import InvalidOption
from ..module_utils._module import RUN_ARG_SPEC, Context, run_module
from ..module_utils._options import WAIT_ARG_SPEC
from ..module_utils._phases.projected_token import PodRequest, apply_pod, remove_pod
from ..module_utils._plan.projected_token import (
    RECREATE,
    PodSpec,
    validate_grace_period,
    validate_name,
    validate_spec,
)

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **WAIT_ARG_SPEC,
    **RUN_ARG_SPEC,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str", "default": "nginx"},
    "namespace": {"type": "str", "required": True},
    "image": {"type": "str"},
    "service_account": {"type": "str", "default": "build-robot"},
    "audience": {"type": "str", "default": "vault"},
    "expiration_seconds": {"type": "int", "default": 7200},
    "mount_path": {"type": "str", "default": "/var/run/secrets/tokens"},
    "token_path": {"type": "str", "default": "vault-token", "no_log": False},
    "container_name": {"type": "str"},
    "command": {"type": "list", "elements": "str", "default": []},
    "args": {"type": "list", "elements": "str", "default": []},
    "labels": {"type": "dict", "default": {}},
    "annotations": {"type": "dict", "default": {}},
    "security_context": {"type": "str", "choices": ["restricted", "none"], "default": "restricted"},
    "run_as_user": {"type": "int"},
    "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"]},
    "restart_policy": {"type": "str", "choices": ["Always", "OnFailure", "Never"]},
    "recreate": {"type": "str", "choices": list(RECREATE), "default": "never"},
    "issuer": {"type": "str"},
    "terminate_grace_period": {"type": "int"},
    "verify": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_sleep": {"type": "int", "default": 2},
    "wait_timeout": {"type": "int", "default": 300},
}


def spec_of(params: Mapping[str, Any]) -> PodSpec:
    """Return the pod that the task asks for."""
    given = {f.name: params[f.name] for f in fields(PodSpec) if params.get(f.name) is not None}
    return PodSpec(**{"image": "", **given}, is_restricted=params["security_context"] == "restricted")


def check(params: Mapping[str, Any]) -> None:
    validate_grace_period(params["terminate_grace_period"])
    if params["state"] == "absent":
        validate_name(spec_of(params))
        return
    validate_spec(spec_of(params))
    if params["recreate"] == "when_issuer_changed" and not params["verify"]:
        raise InvalidOption("With recreate: when_issuer_changed the token's issuer is read, so verify can't be false.")


def body(context: Context) -> dict[str, Any]:
    params = context.params
    request = PodRequest(
        spec=spec_of(params),
        recreate=params["recreate"],
        issuer=params["issuer"],
        verify=params["verify"],
        wait=params["wait"],
        grace_period=params["terminate_grace_period"],
    )
    settings: dict[str, Any] = {
        "check_mode": context.check_mode,
        "options": context.wait_options(),
        "clock": context.clock,
    }
    if params["state"] == "absent":
        return remove_pod(context.cluster, request, **settings)
    return apply_pod(context.cluster, request, **settings, warn=context.warn)


def main() -> None:
    run_module(
        body,
        argument_spec=ARGUMENT_SPEC,
        check=check,
        required_if=[("state", "present", ["image"])],
    )


if __name__ == "__main__":
    main()
