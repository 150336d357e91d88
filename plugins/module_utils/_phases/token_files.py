# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reading the token files of the nodes, each through a privileged pod that sends back payloads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from .._client.cluster import Cluster
from .._clock import Clock, retry
from .._errors import ApiError, Refused, WaitFailed, WaitTimedOut
from .._facts import read_denied
from .._parallel import side_by_side
from .._plan.permissions import TOKEN_FILES, describe_denied
from .._plan.token_files import MAX_OUTPUT, POD_FOLDER, SCRIPT, FilesUnreadable, NodeFiles, parse_files
from .node_command import NodeCommands, find_image, remove_namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSearch:
    """One reading of the token files of nodes, several nodes at once, by pods of ``image``; ``say`` is given a line for each."""

    cluster: Cluster
    clock: Clock
    image: str
    say: Callable[[str], None] = lambda line: None

    @classmethod
    def prepare(cls, *, cluster: Cluster, clock: Clock, image: str, say: Callable[[str], None]) -> FileSearch:
        """Return a reading that may begin; without ``image`` by the machine-config daemon's.

        Raises Refused unless the caller may do all that it needs, InvalidOption where no image is known.
        """
        denied = retry(lambda: read_denied(cluster, TOKEN_FILES), clock=clock)
        if denied:
            raise Refused(f"No token file was read: {describe_denied(denied)}")
        return cls(
            cluster=cluster, clock=clock, image=image or retry(lambda: find_image(cluster), clock=clock), say=say
        )

    def run(self, ready_since: Mapping[str, datetime | None]) -> list[NodeFiles]:
        """Return what was read of each node. ``ready_since`` has None for one that is not Ready."""
        commands = NodeCommands(cluster=self.cluster, clock=self.clock, image=self.image, purpose="token-files")
        try:
            return side_by_side([partial(self._read, commands, n, ready_since[n]) for n in sorted(ready_since)])
        finally:
            remove_namespace(self.cluster)

    def _read(self, commands: NodeCommands, node: str, ready_since: datetime | None) -> NodeFiles:
        if ready_since is None:
            return NodeFiles(name=node, problem="it is not Ready")
        try:
            result = commands.run(node, SCRIPT, [POD_FOLDER, str(MAX_OUTPUT)])
            if result.exit_status:
                raise FilesUnreadable(f"there is no {POD_FOLDER}")
            files = parse_files(result.output)
        except (FilesUnreadable, ApiError, WaitFailed, WaitTimedOut) as error:
            return NodeFiles(name=node, problem=error.clause)
        self.say(f"{node}: {len(files)} token files read")
        return NodeFiles(name=node, files=files)
