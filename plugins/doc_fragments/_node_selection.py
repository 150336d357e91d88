# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  nodes:
    description:
      - The nodes by name. Without it, all nodes that the other options select; without any of them, every node.
    type: list
    elements: str
  label_selectors:
    description:
      - Labels that the nodes must have, such as C(zone=a), C(zone!=b), C(gpu) or C(!gpu).
    type: list
    elements: str
    default: []
  roles:
    description:
      - Roles of which the nodes must have one, such as V(worker).
    type: list
    elements: str
    default: []
  pools:
    description:
      - Machine-config pools of which the nodes must be. Where there are none, V(worker) or V(control-plane).
    type: list
    elements: str
    default: []
"""
