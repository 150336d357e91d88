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
  - Returns the issuer that is asked for, the one that is active, and those that are still trusted, until when.
  - On request it also makes a token and returns the issuer that the token names. The token itself is dropped.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.info_module
  - bound_tokens.openshift._attributes.actiongroup_cluster
options:
  probe:
    description:
      - Whether a token is made and looked at. It is made for the audience C(probe.invalid) and lives 600 seconds.
    type: bool
    default: false
  probe_service_account:
    description:
      - The service account for which the token is made.
    type: str
    default: default
  probe_namespace:
    description:
      - The namespace of O(probe_service_account).
    type: str
    default: default
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
      sample: [{"name": "https://kubernetes.default.svc", "expires": "2026-11-23T07:55:32Z"}]
    former_trusted_until:
      description: When the last of the former issuers ends being trusted; null when there is none.
      type: str
      sample: "2026-11-23T07:55:32Z"
    token_issuer:
      description: The issuer that a new token names; null unless O(probe=true).
      type: str
      sample: https://issuer.example.com/cluster-1
"""

from typing import Any

from ..module_utils._module import PROBE_ARG_SPEC, Context, probe_of, run_module
from ..module_utils._phases.issuer import describe_issuer


def body(context: Context) -> dict[str, Any]:
    return {"changed": False, "issuer": describe_issuer(context.cluster, probe=probe_of(context.params))}


def main() -> None:
    run_module(body, argument_spec={**PROBE_ARG_SPEC, "probe": {"type": "bool", "default": False}})


if __name__ == "__main__":
    main()
