# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a lab: status, logs, commands inside."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import cluster, gates, supervisor, without_nodes
from .api import Api, ApiError, Unreachable
from .errors import LabError
from .settings import Settings
from .shape import API_PORT


def require_running(settings: Settings) -> int:
    """The supervisor's process id; LabError when the lab is not up."""
    pid = supervisor.running(settings)
    if not pid:
        raise LabError(f"Lab {settings.name} is not up.")
    return pid


def status(settings: Settings) -> int:
    """Prints a table; 0 when the lab is up and healthy."""
    pid = supervisor.running(settings)
    if not pid:
        print(f"lab {settings.name}: down")
        return 1
    wrong = cluster.unhealthy(settings)
    print(f"lab {settings.name}: {'healthy' if not wrong else 'not healthy'}, supervisor {pid}, {settings.server_url}")
    _table(_server_rows(settings) if without_nodes.plan(settings) else _node_rows(settings))
    for line in wrong:
        print(f"- {line}")
    return 1 if wrong else 0


def _node_rows(settings: Settings) -> list[tuple[str, ...]]:
    try:
        found = {node["metadata"]["name"]: node for node in Api(settings).items("/api/v1/nodes")}
    except (ApiError, Unreachable):
        found = {}
    rows: list[tuple[str, ...]] = [("NODE", "READY", "BOOT", "API SERVER", "SESSIONS")]
    servers = _balancer(settings).get("servers", {})
    for node in settings.nodes:
        seen = found.get(node.name, {}).get("status", {})
        ready = next((c["status"] for c in seen.get("conditions", []) if c["type"] == "Ready"), "?")
        boot = (gates.boot_id_of(settings, node.name) or "?").partition("-")[0]
        server = servers.get(f"{node.address}:{API_PORT}") if node.master else None
        health = "" if not node.master else "in" if server and server["healthy"] else "out"
        rows.append((node.name, ready, boot, health, str(server["sessions"]) if server else ""))
    return rows


def _server_rows(settings: Settings) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("API SERVER", "HEALTH", "SESSIONS")]
    for name, server in _balancer(settings).get("servers", {}).items():
        rows.append((name, "in" if server["healthy"] else "out", str(server["sessions"])))
    return rows


def logs(settings: Settings, component: str | None) -> None:
    """Prints the log, or the components' names when none was given."""
    files = _log_files(settings)
    if not files:
        raise LabError(f"Lab {settings.name} has no logs; it is not up.")
    if component is None:
        print("\n".join(sorted(files)))
        return
    if component not in files:
        raise LabError(f"No log of {component!r}; `lab logs` lists the names.")
    with files[component].open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()


def execute(settings: Settings, node: str, command: Sequence[str]) -> None:
    """Becomes the command, inside the node, or with `hub` a command of this machine in the lab's network."""
    pid = require_running(settings)
    if node == "hub":
        where = ["--target", str(pid), "--net"]
    elif node in (known.name for known in settings.nodes):
        try:
            init = (settings.node(node) / "init.pid").read_text()
        except FileNotFoundError:
            raise LabError(f"{node} is not running.") from None
        where = ["--target", init, "--all"]
    else:
        raise LabError(f"No node {node!r}: use hub, {', '.join(known.name for known in settings.nodes)}.")
    os.execvp("nsenter", ["nsenter", *where, *(command or ["sh"])])  # noqa: S606


def _log_files(settings: Settings) -> dict[str, Path]:
    """Name to file: the lab's own programs, and NODE/PROGRAM for what runs in nodes."""
    files = {file.stem: file for file in settings.run.glob("*.log")}
    for node in settings.nodes:
        folder = settings.node(node.name) / "var/log"
        files |= {f"{node.name}/{file.stem}": file for file in folder.glob("*.log")}
        if (audit := folder / "kube-apiserver/audit.log").exists():
            files[f"{node.name}/audit"] = audit
        for file in sorted(folder.glob("pods/*/*/*.log"), key=lambda file: file.stat().st_mtime):
            files[f"{node.name}/{file.parent.name}"] = file  # the newest of a container's logs stays
    return files


def _balancer(settings: Settings) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads((settings.run / "balancer.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return loaded


def _table(rows: Iterable[tuple[str, ...]]) -> None:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
