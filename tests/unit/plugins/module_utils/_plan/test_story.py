# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that a wait says, for a rollout that starts anywhere and is changed in the middle."""

from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    IssuerFacts,
    NodeRevision,
    Outcome,
    RolloutFacts,
    RolloutVerdict,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.story import (
    RolloutStory,
    format_seconds,
    tell_rollout,
)


def told(looks):
    """The lines of a script of (seconds, revision, reason, {node: (current, target)})."""
    story, lines = RolloutStory(), []
    for now, revision, reason, nodes in looks:
        facts = RolloutFacts(
            issuer=IssuerFacts(spec_issuer="", trusted=None),
            observed_issuers=(),
            revision_at_start=revision,
            revision=revision,
            revision_issuers=(),
            nodes=tuple(NodeRevision(name=name, current=c, target=t) for name, (c, t) in nodes.items()),
        )
        outcome = Outcome.DONE if reason == "Complete" else Outcome.WAITING
        verdict = RolloutVerdict(outcome=outcome, reason=reason, message=f"<{reason}>")
        story, new = tell_rollout(story, facts, verdict, now)
        lines += new
    return lines


def test_each_change_is_one_line_with_an_estimate():
    looks = [
        (0, 1, "NoRevisionYet", {"a": (1, 0), "b": (1, 0), "c": (1, 0)}),
        (5, 1, "NoRevisionYet", {"a": (1, 0), "b": (1, 0), "c": (1, 0)}),
        (30, 2, "NodesBehind", {"a": (1, 0), "b": (1, 0), "c": (1, 0)}),
        (40, 2, "NodesBehind", {"a": (1, 0), "b": (1, 2), "c": (1, 0)}),
        (140, 2, "NodesBehind", {"a": (1, 0), "b": (2, 0), "c": (1, 0)}),
        (170, 2, "NodesBehind", {"a": (1, 0), "b": (2, 0), "c": (1, 2)}),
        (340, 2, "NodesBehind", {"a": (1, 2), "b": (2, 0), "c": (2, 0)}),
        (440, 2, "Complete", {"a": (2, 0), "b": (2, 0), "c": (2, 0)}),
    ]
    assert told(looks) == [
        "<NoRevisionYet>",
        "<NodesBehind>",
        "b: from revision 1 to 2",
        "b: at revision 2 after 1 min 40 s; 1 of 3 at 2, about 3 min 20 s to go",
        "c: from revision 1 to 2",
        "a: from revision 1 to 2",
        "c: at revision 2 after 2 min 50 s; 2 of 3 at 2, about 2 min 30 s to go",
        "a: at revision 2 after 1 min 40 s; 3 of 3 at 2",
        "<Complete>",
    ]


def test_a_node_in_flight_at_the_first_look_gets_no_time():
    looks = [(0, 2, "NodesBehind", {"a": (1, 2)}), (9, 2, "Complete", {"a": (2, 0)})]
    assert told(looks) == ["<NodesBehind>", "a: at revision 2; 1 of 1 at 2", "<Complete>"]


def test_a_second_edit_redirects_a_replaced_node_and_makes_another_skip():
    looks = [
        (0, 2, "NodesBehind", {"a": (2, 0), "b": (1, 2), "c": (1, 0)}),
        (10, 3, "NodesBehind", {"a": (2, 0), "b": (1, 3), "c": (1, 0)}),
        (20, 3, "NodesBehind", {"a": (2, 0), "b": (1, 3), "d": (0, 0)}),
        (30, 3, "NodesBehind", {"a": (2, 0), "b": (3, 0), "d": (0, 3)}),
    ]
    assert told(looks) == [
        "<NodesBehind>",
        "<NodesBehind>",
        "b: from revision 1 to 3",
        "c: is no control-plane node any more",
        "b: at revision 3 after 20 s; 1 of 3 at 3, about 40 s to go",
        "d: from revision 0 to 3",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (3900, "1 h 5 min")]
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text
