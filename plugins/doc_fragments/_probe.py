# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  probe:
    description:
      - Whether tokens are made to see which issuer they name, over new connections. They are made for the audience
        C(probe.invalid), live 600 seconds, and are dropped at once.
    type: bool
  probe_service_account:
    description:
      - The service account for which the tokens are made.
    type: str
    default: default
  probe_namespace:
    description:
      - The namespace of O(probe_service_account).
    type: str
    default: default
"""
