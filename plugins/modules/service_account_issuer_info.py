#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: service_account_issuer_info
short_description: Tell which service account issuers an OpenShift cluster uses and trusts
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Returns the issuer that is asked for, the one that is active, and those that are still trusted, until when and how
    long that is from now, by the cluster's own clock.
  - When a former issuer stops being trusted, the kube-apiservers roll out once more.
  - On request it also makes a token and returns the issuer that the token names. The token itself is dropped.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._probe
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.info_module
  - bound_tokens.openshift._attributes.actiongroup_cluster
options:
  probe:
    default: false
"""

EXAMPLES = r"""
- name: Read the issuers
  bound_tokens.openshift.service_account_issuer_info:
  register: found

- name: Show until when the former issuers are trusted
  ansible.builtin.debug:
    var: found.issuer.former_trusted_until
"""

RETURN = r"""
issuer:
  description: The issuer as it is now.
  returned: success
  type: dict
  contains:
    name:
      description: The issuer that is asked for.
      type: str
      sample: https://issuer.example.com/cluster-1
    active:
      description: The issuer that the operator has made active; null on releases that do not report it.
      type: str
      sample: https://issuer.example.com/cluster-1
    former:
      description: Issuers that are still trusted, with the time at which that ends.
      type: list
      elements: dict
      sample: [{"name": "https://kubernetes.default.svc", "expires": "2026-11-23T07:55:32Z", "seconds_left": 85012}]
    former_trusted_until:
      description: When the last of the former issuers ends being trusted; null when there is none.
      type: str
      sample: "2026-11-23T07:55:32Z"
    trusts_former:
      description: Whether this release trusts former issuers for a while; otherwise all their tokens die with a change.
      type: bool
      sample: true
    next_rollout_at:
      description: When the first of the former issuers stops being trusted, which is the next rollout; null without one.
      type: str
      sample: "2026-11-23T07:55:32Z"
    seconds_left:
      description: How many seconds are left until RV(issuer.next_rollout_at).
      type: int
      sample: 85012
    read_at:
      description: The time on the API server's clock.
      type: str
      sample: "2026-11-22T08:18:40Z"
    token_issuer:
      description: The issuer that a new token names; null unless O(probe=true).
      type: str
      sample: https://issuer.example.com/cluster-1
    token_key_id:
      description: The ID of the key that signed a new token; null unless O(probe=true).
      type: str
      sample: WbIgBlbtNOyq1PmZFf7JvIbGZVDVr9PIm8VzqvTPdbY
    discovery_issuer:
      description: The issuer in the API servers' own discovery document; null when they publish none.
      type: str
      sample: https://issuer.example.com/cluster-1
    key_ids:
      description: The IDs of the keys that the API servers publish; null when they publish none.
      type: list
      elements: str
      sample: [WbIgBlbtNOyq1PmZFf7JvIbGZVDVr9PIm8VzqvTPdbY]
    keys_agree:
      description:
        - Whether a new token can be verified by what the API servers publish. It is null unless O(probe=true), and when
          they publish nothing.
      type: bool
      sample: true
"""

from typing import Any

from ..module_utils._module import PROBE_ARG_SPEC, Context, probe_of, run_module
from ..module_utils._phases.issuer import describe_issuer


def body(context: Context) -> dict[str, Any]:
    issuer = describe_issuer(context.cluster, probe=probe_of(context.params), clock=context.clock)
    return {"changed": False, "issuer": issuer}


def main() -> None:
    run_module(body, argument_spec={**PROBE_ARG_SPEC, "probe": {"type": "bool", "default": False}})


if __name__ == "__main__":
    main()
