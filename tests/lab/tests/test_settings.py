# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from lab.errors import LabError
from lab.settings import Settings


def test_defaults_need_no_environment() -> None:
    settings = Settings.from_environment({"HOME": "/home/somebody"})
    assert (settings.name, settings.port, settings.time_scale) == ("lab", 7443, 0.1)
    assert settings.cache == Path("/home/somebody/.cache/bound-tokens-lab")
    assert settings.kubeconfig == settings.cache / "run/lab/kubeconfig"


def test_cache_home_and_cache_win_in_this_order() -> None:
    environment = {"HOME": "/h", "XDG_CACHE_HOME": "/x"}
    assert Settings.from_environment(environment).cache == Path("/x/bound-tokens-lab")
    assert Settings.from_environment(environment | {"LAB_CACHE": "/c"}).cache == Path("/c")


def test_empty_variables_count_as_unset() -> None:
    empty = dict.fromkeys(("LAB_NAME", "LAB_PORT", "LAB_TIME_SCALE", "LAB_CACHE", "LAB_MASTERS", "XDG_CACHE_HOME"), "")
    assert Settings.from_environment({"HOME": "/h"} | empty) == Settings.from_environment({"HOME": "/h"})


def test_children_get_the_same_settings() -> None:
    environment = {"LAB_NAME": "two", "LAB_PORT": "7444", "LAB_TIME_SCALE": "1", "LAB_MASTERS": "1", "HOME": "/h"}
    settings = Settings.from_environment(environment)
    assert Settings.from_environment(settings.environment()) == settings


def test_the_number_of_masters_is_a_choice() -> None:
    settings = Settings.from_environment({"HOME": "/h", "LAB_MASTERS": "1"})
    assert [node.name for node in settings.nodes] == ["master-0", "worker-0", "worker-1"]
    assert [node.name for node in settings.masters] == ["master-0"]
    assert len({node.address for node in settings.nodes}) == 3
    assert len(Settings.from_environment({"HOME": "/h"}).masters) == 3


def test_two_labs_share_only_caches() -> None:
    one, two = (Settings.from_environment({"HOME": "/h", "LAB_NAME": name}) for name in ("one", "two"))
    assert one.cache == two.cache
    assert one.run != two.run
    assert one.cgroup != two.cgroup


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LAB_NAME", "../x"),
        ("LAB_NAME", "Big"),
        ("LAB_NAME", "x" * 40),
        ("LAB_PORT", "http"),
        ("LAB_PORT", "0"),
        ("LAB_PORT", "70000"),
        ("LAB_PORT", "7443.5"),
        ("LAB_MASTERS", "2"),
        ("LAB_TIME_SCALE", "-1"),
        ("LAB_TIME_SCALE", "fast"),
        ("LAB_TIME_SCALE", "nan"),
    ],
)
def test_a_bad_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(LabError, match=variable):
        Settings.from_environment({"HOME": "/h", variable: value})
