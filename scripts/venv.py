# SPDX-License-Identifier: GPL-3.0-or-later
"""Build .venv from requirements/dev.txt and make the checkout importable in it as the collection, without a copy."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements" / "dev.txt"
STAMP = VENV / "requirements.sha256"
NAMESPACE, NAME = "bound_tokens", "openshift"


def say(text: str) -> None:
    print(f"venv: {text}", flush=True)


def works(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import pip"], check=False, capture_output=True).returncode == 0


def install() -> None:
    """.venv holds the pinned tools; the stamp is written last, so that an interrupted run is taken up again."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        say("up to date")
        return
    started = time.monotonic()
    if not works(PYTHON):
        say(f"creating .venv with Python {sys.version.split()[0]}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    count = sum(1 for line in REQUIREMENTS.read_text().splitlines() if "==" in line)
    say(f"installing {count} pinned packages from {REQUIREMENTS.relative_to(ROOT)} (about half a minute)")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True, stdin=subprocess.DEVNULL)
    STAMP.write_text(wanted)
    say(f"installed in {time.monotonic() - started:.0f} s")


def link(at: Path) -> None:
    """`at` is a symbolic link to the checkout, made in one step, since others may be importing through it."""
    if at.is_symlink() and at.resolve() == ROOT:
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    fresh = at.with_name(f".{at.name}.{os.getpid()}")
    fresh.symlink_to(ROOT)
    fresh.replace(at)
    say(f"linked {at.relative_to(ROOT)} to the checkout")


def site_packages() -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


def refuse_stale_copies() -> None:
    """Ansible looks into these folders before site-packages: a copy there would silently win over the checkout."""
    for folder in (Path.home() / ".ansible/collections", Path("/usr/share/ansible/collections")):
        copy = folder / "ansible_collections" / NAMESPACE / NAME
        if copy.exists() and copy.resolve() != ROOT:
            sys.exit(f"venv: {copy} holds another copy of the collection and would win over this checkout; remove it.")


def main() -> None:
    lock = ROOT / ".cache" / "venv.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        install()
        for parent in (site_packages(), ROOT / ".cache" / "link"):
            link(parent / "ansible_collections" / NAMESPACE / NAME)
        refuse_stale_copies()


if __name__ == "__main__":
    main()
