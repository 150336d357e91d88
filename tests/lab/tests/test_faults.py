# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from lab import faults
from lab.errors import LabError
from lab.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings.from_environment({"LAB_CACHE": str(tmp_path)})
    (made.node("worker-0") / "var/lib").mkdir(parents=True)
    return made


def test_each_fault_is_a_file_until_it_is_mended(settings: Settings) -> None:
    lasting = {kind: fault for kind, fault in faults.KINDS.items() if fault.file}
    for kind in lasting:
        faults.cause(settings, "worker-0", kind)
    home = settings.node("worker-0")
    assert all((home / str(fault.file)).exists() for fault in lasting.values())
    assert (home / "slow-boot").read_text() == "180\n"
    faults.cause(settings, "worker-0", "slow-boot", 12.5)
    assert (home / "slow-boot").read_text() == "12.5\n"
    faults.mend(settings, "worker-0")
    assert not any(file.is_file() for file in home.rglob("*"))


def test_what_makes_no_sense_is_refused(settings: Settings) -> None:
    with pytest.raises(LabError, match="No fault 'rust': use hold, slow-boot"):
        faults.cause(settings, "worker-0", "rust")
    with pytest.raises(LabError, match="does not take 3 seconds"):
        faults.cause(settings, "worker-0", "hold", 3)
    with pytest.raises(LabError, match="No node 'worker-1'"):
        faults.mend(settings, "worker-1")
