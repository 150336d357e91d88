# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a long audit log as token_holders_info does: python log_load.py MEGABYTES. Prints JSON.

The log is the lab's own: its events by service accounts, repeated as the uses of other tokens until it is long enough. It
comes as it does everywhere, through the API server from the kubelet of a control-plane node. The lab must be up.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from figures import peak_megabytes
from labs import Lab
from modules import run_module

#: How many of each service account's tokens are told apart.
TOKENS = 100
HOURS = timedelta(hours=6)
TOKEN_ID = re.compile(r"(JTI=[-0-9a-f]{32})[0-9a-f]{4}")
MOMENT = re.compile(r'("(?:requestReceived|stage)Timestamp":")[^"]+')


def find_events(folder: Path) -> list[str]:
    """Lines of the log by those who have a token; the last may not be whole yet."""
    lines = (folder / "audit.log").read_text().split("\n")[:-1]
    return [line for line in lines if "credential-id" in line]


def repeat(events: list[str], size: int) -> Iterator[str]:
    """Yield lines of ``size`` bytes together, which end now and begin some hours ago. Half of the tokens were issued then."""
    end, length = datetime.now(timezone.utc), sum(len(e) + 1 for e in events)
    step = HOURS / (size / length * len(events))
    moment = end - HOURS
    for number in itertools.count():
        for event in events:
            if size <= 0:
                return
            if number % 2 and "issued-credential-id" in event:
                continue
            line = TOKEN_ID.sub(rf"\g<1>{number % TOKENS:04x}", event)
            line = MOMENT.sub(rf"\g<1>{moment:%Y-%m-%dT%H:%M:%S.%fZ}", line) + "\n"
            moment, size = moment + step, size - len(line)
            yield line


def main(megabytes: int) -> None:
    lab = Lab()
    master = lab.settings.masters[0].name
    folder = lab.settings.node(master) / "var/log/kube-apiserver"
    events = find_events(folder)
    path = folder / f"audit-{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%S.000}.log"
    with path.open("w") as file:
        file.writelines(repeat(events, megabytes * 10**6))
    since = (datetime.now(timezone.utc) - HOURS).isoformat()
    begin, processor = time.monotonic(), time.process_time()
    result = run_module(
        "token_holders_info",
        kubeconfig=lab.kubeconfig,
        verify=["use"],
        since=since,
        max_bytes=f"{megabytes * 2}M",
    )
    found = {"seconds": time.monotonic() - begin, "processor": time.process_time() - processor}
    path.unlink()
    if result.get("failed"):
        raise SystemExit(result["msg"])
    holders = result["token_holders"]
    print(holders["problems"], holders["servers"], file=sys.stderr)
    read = sum(server["bytes_read"] for server in holders["servers"]) / 1e6
    print(json.dumps({**found, "read": read, "megabytes": peak_megabytes(), "tokens": len(holders["used"])}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
