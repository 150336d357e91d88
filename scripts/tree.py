# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy what git knows or would add into FOLDER/ansible_collections/<namespace>/<name>, and print that path.

ansible-test and the build of the archive want a folder of their own: the first takes no symbolic link, the second would
pack whatever lies about in the checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def list_files(*options: str) -> set[str]:
    listing = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(filter(None, listing.stdout.split("\0")))


def main(folder: Path) -> None:
    target = folder / "ansible_collections" / "bound_tokens" / "openshift"
    shutil.rmtree(target, ignore_errors=True)
    for name in sorted(list_files("--cached", "--others", "--exclude-standard") - list_files("--deleted")):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy, follow_symlinks=False)
    print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
