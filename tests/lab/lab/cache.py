# SPDX-License-Identifier: GPL-3.0-or-later
"""Things that are made once and kept: a finished entry has its final name, an unfinished one never has."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .progress import Say


@contextlib.contextmanager
def locked(file: Path, say: Say) -> Iterator[None]:
    """Only one process is inside at a time; having to wait for another is said."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another lab command to finish ({file.name})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def directory(target: Path, make: Callable[[Path], None]) -> Path:
    """The directory exists and is complete; one process at a time may ask. `make` fills what then gets its final name."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(abandoned)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        unfinished.chmod(0o755)
        make(unfinished)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def keep_newest(directory: Path) -> None:
    """Of the entries in a directory only the newest is left; nobody may be using the others."""
    entries = sorted(directory.glob("*"), key=lambda entry: entry.stat().st_mtime)
    for entry in entries[:-1]:
        shutil.rmtree(entry)


def digest(*parts: str | bytes | Path) -> str:
    """Ten hexadecimal digits that change when any part changes; a path stands for what is in the file."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:10]
