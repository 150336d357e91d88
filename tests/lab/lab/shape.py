# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a lab: its nodes and their addresses.

The addresses exist only inside the lab's own network namespace, so all labs use the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

HUB_ADDRESS = "10.250.0.1"
"""The balancer for everything inside the lab."""
SERVICE_ADDRESS = "10.96.0.1"
"""The `kubernetes` Service: the balancer listens on it, so pods need no service proxy to reach the API."""
SERVICE_RANGE = "10.96.0.0/16"
API_PORT = 6443


@dataclass(frozen=True)
class Node:
    """A box that is a node of the cluster."""

    name: str
    index: int
    master: bool

    @property
    def address(self) -> str:
        return f"10.250.0.{10 + self.index}"

    @property
    def pod_subnet(self) -> str:
        return f"10.244.{self.index}.0/24"

    @property
    def mac(self) -> str:
        """Fixed, so that no neighbour keeps a stale entry over a reboot."""
        return f"02:00:0a:fa:00:{10 + self.index:02x}"


WORKER_COUNT = 2


def make_nodes(master_count: int) -> tuple[Node, ...]:
    """The masters, and after them the workers."""
    masters = [Node(f"master-{i}", i, master=True) for i in range(master_count)]
    return *masters, *(Node(f"worker-{i}", master_count + i, master=False) for i in range(WORKER_COUNT))
