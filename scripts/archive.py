# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's archive into dist/; with --check, install it elsewhere and see whether it works from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
INSTALLED = ROOT / ".cache" / "installed"
REQUIRED = {"LICENSE", "README.md", "CHANGELOG.md", "meta/runtime.yml", "requirements.txt"}
FORBIDDEN = (".", "tests/", "scripts/", "extensions/", "requirements/", "dist/", "Makefile", "pyproject.toml")


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        list(command),
        cwd=ROOT / ".cache",
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def build() -> Path:
    """The archive holds what git knows or would add, less what galaxy.yml leaves out."""
    tree = run(sys.executable, ROOT / "scripts" / "tree.py", ROOT / ".cache" / "tree" / "build").strip()
    run(BIN / "ansible-galaxy", "collection", "build", "--force", "--output-path", ROOT / "dist", tree)
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    return ROOT / "dist" / f"{galaxy['namespace']}-{galaxy['name']}-{galaxy['version']}.tar.gz"


def check_content(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {member.name for member in tar if member.isfile()}
    if lacking := REQUIRED - names:
        sys.exit(f"the archive lacks {', '.join(sorted(lacking))}")
    if surplus := [name for name in sorted(names) if name.startswith(FORBIDDEN)]:
        sys.exit(f"the archive holds what galaxy.yml should leave out: {', '.join(surplus)}")


def check_installed(archive: Path) -> str:
    """Every module and filter documents itself, and every playbook parses, from the installed copy alone."""
    shutil.rmtree(INSTALLED, ignore_errors=True)
    # forced, since Ansible finds the checkout in the environment's site-packages and would have nothing to do
    run(BIN / "ansible-galaxy", "collection", "install", "--offline", "--force", "-p", INSTALLED, archive)
    home = INSTALLED / "ansible_collections" / "bound_tokens" / "openshift"
    if not (home / "MANIFEST.json").exists():
        sys.exit(f"{home} does not hold the collection after its installation")
    fqcn = "bound_tokens.openshift"
    counts = []
    for kind, folder in (("module", "modules"), ("filter", "filter")):
        names = [f"{fqcn}.{path.stem}" for path in sorted((home / "plugins" / folder).glob("*.py"))]
        if names:
            shown = run(BIN / "ansible-doc", "--type", kind, "--json", *names, ANSIBLE_COLLECTIONS_PATH=str(INSTALLED))
            if undocumented := set(names) - {name for name, entry in json.loads(shown).items() if entry.get("doc")}:
                sys.exit(f"no documentation found for {kind} {', '.join(sorted(undocumented))}")
        counts.append(f"{len(names)} {kind}s")
    playbooks = [f"{fqcn}.{path.stem}" for path in sorted((home / "playbooks").glob("*.yml"))]
    if playbooks:
        run(BIN / "ansible-playbook", "--syntax-check", *playbooks, ANSIBLE_COLLECTIONS_PATH=str(INSTALLED))
    return ", ".join([*counts, f"{len(playbooks)} playbooks"])


def main() -> None:
    archive = build()
    print(f"built {archive.relative_to(ROOT)}, {archive.stat().st_size // 1024} KiB")
    if "--check" in sys.argv[1:]:
        check_content(archive)
        print(f"installed and read back: {check_installed(archive)}")


if __name__ == "__main__":
    main()
