# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of progress on their way out of a module."""

from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._module import ProgressLines


def hide(line):
    return line.replace("secret", "***")


def test_lines_go_to_the_file_at_once_without_secrets(tmp_path):
    file = tmp_path / "lines"
    file.touch()
    say = ProgressLines(target=str(file), hide=hide)
    say("one secret\nin two lines")
    assert file.read_text() == "one *** in two lines\n"
    say("two")
    assert file.read_text() == "one *** in two lines\ntwo\n"
    assert say.record() == {}


def test_lines_go_beside_the_result_where_asked():
    say = ProgressLines(target="-", hide=hide)
    assert say.record() == {}
    say("one secret")
    assert say.record() == {"_progress": ["one ***"]}


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\r", "\x9b", "\ud800", "\u202e", "\u2028"])
def test_what_a_terminal_would_obey_or_no_file_takes_does_not_get_out(tmp_path, character):
    file = tmp_path / "lines"
    file.touch()
    for target in (str(file), "-"):
        say = ProgressLines(target=target, hide=hide)
        say(f"a secret{character}[2Jb é")
    assert file.read_text(encoding="utf-8") == "a *** [2Jb é\n"
    assert say.record() == {"_progress": ["a *** [2Jb é"]}


@pytest.mark.parametrize("target", [None, "", "{tmp}/gone", "{tmp}"])
def test_a_missing_file_disturbs_nothing_and_is_not_made(tmp_path, target):
    target = target and target.format(tmp=tmp_path)
    say = ProgressLines(target=target, hide=hide)
    say("one")
    say("two")
    assert say.record() == {}
    assert list(tmp_path.iterdir()) == []
