# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that any module with this client costs: it imports the dynamic client and ends."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from openshift.dynamic import DynamicClient


def main():
    AnsibleModule(argument_spec={}).exit_json(client=DynamicClient.__name__)


if __name__ == "__main__":
    main()
