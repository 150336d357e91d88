# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the token files of nodes whose commands are answered from memory."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    InvalidOption,
    Refused,
    WaitTimedOut,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases import token_files
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.node_command import CommandResult
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.permissions import TOKEN_FILES
from clocks import FakeClock

READY = datetime(2026, 11, 22, 7, tzinfo=timezone.utc)
FILE = "uid tokens 746f6b656e eyJpc3MiOiJ4IiwiaWF0IjoxLCJleHAiOjJ9\nend 1\n"


class FakeCommands:
    """``answers`` are by node: what is printed with success, a CommandResult, or an error."""

    answers, made, removed = {}, [], 0

    def __init__(self, *, cluster, clock, image, purpose):
        self.image, self.purpose = image, purpose

    def run(self, node, script, arguments=()):
        assert (script, arguments) == (token_files.SCRIPT, ["/var/lib/kubelet/pods", "8000000"])
        self.made.append((node, self.image, self.purpose))
        answer = self.answers[node]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, CommandResult) else CommandResult(exit_status=0, output=answer)


@pytest.fixture
def read(monkeypatch):
    def run(**answers):
        FakeCommands.answers, FakeCommands.made, FakeCommands.removed = answers, [], 0
        search = token_files.FileSearch(cluster=None, clock=FakeClock(), image="tools:1", say=run.said.append)
        return {n.name: n for n in search.run({name: READY if answer else None for name, answer in answers.items()})}

    def remove(cluster):
        FakeCommands.removed += 1

    run.said = []
    monkeypatch.setattr(token_files, "NodeCommands", FakeCommands)
    monkeypatch.setattr(token_files, "remove_namespace", remove)
    return run


def test_the_files_of_every_node_that_can_be_read(read):
    refused = ApiError(verb="create", target="pods/x", host="h", status=403, words="no")
    nodes = read(
        a=FILE,
        b="end 0\n",
        away=None,
        late=WaitTimedOut("Waiting for it did not end within 330 s; last seen: the pod is Pending"),
        cut="uid tok",
        strange=CommandResult(exit_status=1, output=""),
        denied=refused,
    )
    assert list(nodes["a"].files) == [("uid", "tokens", "token")]
    assert (nodes["b"].files, nodes["b"].problem) == ({}, "")
    assert {name: n.problem for name, n in nodes.items() if n.problem} == {
        "away": "it is not Ready",
        "late": "waiting for it did not end within 330 s; last seen: the pod is Pending",
        "cut": "what was printed there about its token files is not whole",
        "strange": "there is no /var/lib/kubelet/pods",
        "denied": refused.clause,
    }
    assert sorted(FakeCommands.made) == [
        (n, "tools:1", "token-files") for n in ("a", "b", "cut", "denied", "late", "strange")
    ]
    assert FakeCommands.removed == 1
    assert "a: 1 token files read" in read.said


def test_the_namespace_goes_whatever_happens(read):
    with pytest.raises(RuntimeError):
        read(a=RuntimeError("a bug"))
    assert FakeCommands.removed == 1


def prepare(image=""):
    return token_files.FileSearch.prepare(cluster=None, clock=FakeClock(), image=image, say=print)


def test_the_image_is_found_if_none_is_given(monkeypatch):
    monkeypatch.setattr(token_files, "read_denied", lambda cluster, wanted: [])
    monkeypatch.setattr(token_files, "find_image", lambda cluster: "daemon:1")
    assert prepare().image == "daemon:1"
    assert prepare("tools:1").image == "tools:1"

    def find(cluster):
        raise InvalidOption("There is none.")

    monkeypatch.setattr(token_files, "find_image", find)
    with pytest.raises(InvalidOption):
        prepare()


def test_permissions_are_asked_for_first(monkeypatch):
    monkeypatch.setattr(token_files, "read_denied", lambda cluster, wanted: [wanted[-1]])
    with pytest.raises(Refused, match="No token file was read: you are not allowed to get pods/log"):
        prepare("tools:1")
    assert TOKEN_FILES[0].resource == "nodes"
