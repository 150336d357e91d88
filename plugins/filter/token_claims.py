# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: token_claims
short_description: Read the claims of a service account token
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Decodes the payload of a JSON Web Token and returns its claims.
  - The signature is not verified - for showing and comparing, never for trusting a token.
  - Neither the result nor an error holds the token.
positional: _input
options:
  _input:
    description: The token.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the issuer that a token names
  ansible.builtin.debug:
    msg: "{{ (token | bound_tokens.openshift.token_claims).iss }}"
"""

RETURN = r"""
_value:
  description: The claims.
  type: dict
  sample: {"iss": "https://kubernetes.default.svc", "aud": ["vault"], "exp": 1790000000}
"""

from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils._claims import decode_token
from ..module_utils._errors import InvalidOption


def token_claims(token: Any) -> dict[str, Any]:
    """Return the claims of ``token``. Raises AnsibleFilterError without any part of the token in it."""
    if not isinstance(token, str):
        raise AnsibleFilterError(f"token_claims needs the token as a string, not {type(token).__name__}.")
    try:
        return decode_token(token)
    except InvalidOption as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"token_claims": token_claims}
