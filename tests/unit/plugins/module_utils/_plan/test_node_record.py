# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass, field, replace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import CollectionError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Outcome, parse_time
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import NodeFacts, NodeMark
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.node_record import (
    ENDED,
    KEY,
    NodeProgress,
    NodeRecord,
    Step,
    dump_nodes,
    find_outdated,
    find_pause,
    find_restarted,
    judge_nodes,
    judge_step,
    parse_nodes,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.restart import judge_restarted
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.run_record import RunRecord

OLD, NEW = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
ASKED = "2026-11-22T08:00:02Z"
OPEN = [step for step in Step if step not in ENDED]
WHERE = "ConfigMap bound-tokens/run"
PROGRESS = NodeProgress(
    boot_id=OLD,
    step=Step.RETURNING,
    reason="NotWell",
    message='not Ready: "dns"\u2028ü',
    restarted_at=ASKED,
    unwell=("a/DaemonSet/b", "c/d"),
    evicted=7,
    seconds={"draining": 3.5, "restarting": 60.0},
)
RECORD = NodeRecord(
    run_id="r1",
    is_named=True,
    begun_at="2026-11-22T07:55:00Z",
    former_ids=("r0",),
    nodes={"w9": PROGRESS, "w1": NodeProgress(boot_id=NEW), "a": PROGRESS},
)


def read(text):
    return parse_nodes({"data": {KEY: text}}, WHERE)


# -- the record


@pytest.mark.parametrize("step", list(Step))
def test_a_record_is_read_as_it_was_written(step):
    record = replace(RECORD, nodes={**RECORD.nodes, "w1": replace(PROGRESS, step=step)})
    found = parse_nodes({"data": {**dump_nodes(record), "record.json": "{}"}}, WHERE)
    assert found == record
    assert list(found.nodes) == ["w9", "w1", "a"]  # in the order of the plan


def test_any_record_is_read_as_it_was_written():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    def text():
        return "".join(rng.choice('aZ0-/."\\{}\n\u2028üé ') for _i in range(rng.randint(0, 8)))

    for _round in range(300):
        nodes = {
            text(): NodeProgress(
                boot_id=text(),
                new_boot_id=text(),
                step=rng.choice(list(Step)),
                reason=text(),
                message=text(),
                restarted_at=rng.choice([None, ASKED]),
                unwell=tuple(text() for _i in range(rng.randint(0, 3))),
                evicted=rng.randint(0, 300),
                seconds={text(): rng.uniform(0, 4000) for _i in range(rng.randint(0, 3))},
            )
            for _i in range(rng.randint(0, 4))
        }
        record = NodeRecord(
            run_id=text(),
            is_named=rng.random() < 0.5,
            begun_at=rng.choice([None, ASKED]),
            former_ids=tuple(text() for _i in range(rng.randint(0, 2))),
            nodes=nodes,
        )
        assert parse_nodes({"data": dump_nodes(record)}, WHERE) == record


@pytest.mark.parametrize("config_map", [None, {}, {"data": None}, {"data": {}}, {"data": {"record.json": "{}"}}])
def test_there_is_no_record(config_map):
    assert parse_nodes(config_map, WHERE) is None


def damaged():
    whole = json.loads(dump_nodes(RECORD)[KEY])
    yield from ("", "null", "[]", "7", '"r1"', "{}", dump_nodes(RECORD)[KEY][:-1])
    for key in whole:
        yield json.dumps({k: v for k, v in whole.items() if k != key})
    for change in (
        {"schema": "1"},
        {"schema": None},
        {"run_id": None},
        {"run_id": ["r1"]},
        {"nodes": []},
        {"nodes": {"w9": 7}},
    ):
        yield json.dumps({**whole, **change})
    for change in (
        {"step": "sleeping"},
        {"boot_id": None},
        {"boot_id": 7},
        {"unwell": None},
        {"odd": 1},
        {"restarted_at": "later"},
        {"done_at": "later"},
    ):
        yield json.dumps({**whole, "nodes": {"w9": {**whole["nodes"]["w9"], **change}}})


@pytest.mark.parametrize("text", list(damaged()))
def test_a_damaged_record_is_not_guessed_at(text):
    with pytest.raises(
        CollectionError, match=f"in {WHERE} is damaged; look at it, and delete the ConfigMap to begin anew"
    ):
        read(text)


def test_a_record_of_a_newer_version_is_left_alone():
    whole = {**json.loads(dump_nodes(RECORD)[KEY]), "schema": 99, "nodes": "something else"}
    with pytest.raises(CollectionError, match="written by a newer version of this collection"):
        read(json.dumps(whole))


@pytest.mark.parametrize(
    ("steps", "is_done"),
    [
        ((), True),
        ((Step.DONE, Step.GONE), True),
        ((Step.DONE, Step.FAILED), False),
        *(((Step.DONE, step), False) for step in OPEN),
    ],
)
def test_a_run_is_done_when_every_node_is(steps, is_done):
    nodes = {f"w{i}": NodeProgress(boot_id=OLD, step=step) for i, step in enumerate(steps)}
    assert NodeRecord(run_id="r1", nodes=nodes).is_done is is_done


DONE = replace(RECORD, nodes={"w9": replace(PROGRESS, step=Step.DONE)})
UNNAMED = replace(DONE, is_named=False)


@pytest.mark.parametrize(
    ("name", "record", "asked", "action"),
    [
        ("no record", None, {}, "begin"),
        ("no record, by name", None, {"run_id": "r1"}, "begin"),
        ("interrupted", RECORD, {}, "continue"),
        ("interrupted, by name", RECORD, {"run_id": "r1"}, "continue"),
        ("interrupted, another name", RECORD, {"run_id": "r2"}, "refuse"),
        ("interrupted, another name, taken over", RECORD, {"run_id": "r2", "take_over": True}, "continue"),
        (
            "one has failed",
            replace(DONE, nodes={"w9": replace(PROGRESS, step=Step.FAILED)}),
            {"run_id": "r2"},
            "refuse",
        ),
        ("finished, any", DONE, {}, "begin"),
        ("finished, a run without a name, which has its traces to remove", UNNAMED, {}, "continue"),
        ("finished, a run without a name, another name", UNNAMED, {"run_id": "r2"}, "begin"),
        ("finished, by name", DONE, {"run_id": "r1"}, "continue"),
        ("finished, another name", DONE, {"run_id": "r2"}, "begin"),
        ("finished, another name, taken over", DONE, {"run_id": "r2", "take_over": True}, "begin"),
    ],
)
def test_what_a_run_does_about_the_record(name, record, asked, action):
    assert judge_nodes(record, **{"run_id": None, "take_over": False, **asked}).action == action


def test_a_refusal_names_the_other_run_and_the_ways_out():
    record = replace(RECORD, nodes={**RECORD.nodes, "w3": replace(PROGRESS, step=Step.DONE)})
    assert judge_nodes(record, run_id="r2", take_over=False).message == (
        "No node was touched, because the run r1 is not finished: w9 (returning), w1 (planned), a (returning); "
        "give run_id r1, or none, to finish it, or set take_over to true to finish it under another name."
    )


def test_which_nodes_a_run_has_restarted_and_when():
    nodes = {
        "w1": replace(PROGRESS, step=Step.DONE),
        "w2": replace(PROGRESS, step=Step.DONE, restarted_at=None),
        **{f"not-{s.value}": replace(PROGRESS, step=s) for s in Step if s is not Step.DONE},
    }
    record = replace(RECORD, nodes=nodes)
    begun_at, asked = parse_time(RECORD.begun_at), parse_time(ASKED)
    assert find_restarted(record, "r1") == {"w1": asked, "w2": begun_at}
    assert find_restarted(record, "r2") == find_restarted(record, None) == find_restarted(None, "r1") == {}
    assert find_restarted(replace(record, begun_at=None), "r1") == {}


@pytest.mark.parametrize(
    ("name", "rotation", "wanted"),
    [
        ("no rotation", None, set()),
        ("one of another name", {"run_id": "r7", "finished_at": "2026-11-22T09:00:00Z"}, set()),
        ("its rollout ended before", {"finished_at": "2026-11-22T07:00:00Z"}, set()),
        ("its rollout ended between", {"finished_at": "2026-11-22T08:00:00Z"}, {"unseen"}),
        ("at the very moment", {"finished_at": ASKED}, {"unseen"}),
        ("after all of them", {"finished_at": "2026-11-22T09:00:00Z"}, {"seen", "unseen"}),
        ("when it ended is not known, it was begun later", {"started_at": "2026-11-22T09:00:00Z"}, {"seen", "unseen"}),
        ("when it ended is not known, it was begun before", {"started_at": "2026-11-22T07:00:00Z"}, set()),
        ("nothing is known", {}, set()),
    ],
)
def test_which_nodes_were_restarted_for_something_else(name, rotation, wanted):
    nodes = {
        "seen": replace(PROGRESS, step=Step.DONE),
        "unseen": replace(PROGRESS, step=Step.DONE, restarted_at=None),  # after the run had begun
        "failed": replace(PROGRESS, step=Step.FAILED),
    }
    given = None if rotation is None else RunRecord(**{"run_id": "r1", "issuer": "https://x", **rotation})
    assert find_outdated(replace(RECORD, nodes=nodes), given) == wanted


@pytest.mark.parametrize(
    ("done_at", "now", "left"),
    [
        ([], "2026-11-22T08:00:00Z", 0),
        ([None], "2026-11-22T08:00:00Z", 0),
        (["2026-11-22T08:00:00Z"], "2026-11-22T08:00:00Z", 600),
        (["2026-11-22T08:05:00Z", None, "2026-11-22T08:00:00Z"], "2026-11-22T08:07:00Z", 180),
        (["2026-11-22T08:00:00Z"], "2026-11-22T08:10:00Z", 0),
        (["2026-11-22T08:00:00Z"], "2026-11-23T08:10:00Z", 0),
        (["2026-11-22T08:00:00Z"], None, 600),
    ],
)
def test_how_much_of_the_pause_after_the_first_node_is_left(done_at, now, left):
    nodes = {f"w{i}": replace(PROGRESS, done_at=moment) for i, moment in enumerate(done_at)}
    assert find_pause(replace(RECORD, nodes=nodes), 600, parse_time(now)) == left


def test_the_marks_of_runs_taken_over_are_ones_own():
    assert RECORD.names == {"r1", "r0"}


# -- how far a node is

MINE, FOREIGN = (NodeMark(run_id=r, boot_id=OLD) for r in ("r1", "r7"))
FORMER = NodeMark(run_id="r0", boot_id=OLD)
IDS = frozenset({"r1", "r0"})

#: (boot ID, mark, is_empty) and the step, whatever was recorded last.
STEPS = [
    (OLD, None, False, "planned"),
    (OLD, None, True, "planned"),
    (OLD, FOREIGN, False, "planned"),
    (OLD, FOREIGN, True, "planned"),
    (OLD, replace(FOREIGN, requested_at=ASKED), True, "planned"),
    (OLD, MINE, False, "draining"),
    (OLD, MINE, True, "restarting"),
    (OLD, replace(MINE, requested_at=ASKED), True, "restarting"),
    (OLD, replace(MINE, requested_at=ASKED), False, "restarting"),
    (OLD, replace(MINE, emptied_at=ASKED), True, "restarting"),
    (OLD, replace(MINE, emptied_at=ASKED), False, "draining"),
    (OLD, replace(MINE, was_cordoned=True), False, "draining"),
    (OLD, FORMER, False, "draining"),
    (OLD, FORMER, True, "restarting"),
    (NEW, MINE, False, "returning"),
    (NEW, MINE, True, "returning"),
    (NEW, replace(MINE, requested_at=ASKED), False, "returning"),
    (NEW, FORMER, True, "returning"),
    (NEW, None, False, "done"),
    (NEW, None, True, "done"),
    (NEW, FOREIGN, False, "done"),
    (NEW, replace(FOREIGN, requested_at=ASKED), True, "done"),
    ("", None, True, "planned"),
    ("", MINE, True, "restarting"),
    ("", MINE, False, "draining"),
]


@pytest.mark.parametrize(("boot_id", "mark", "is_empty", "step"), STEPS)
def test_how_far_a_node_is(boot_id, mark, is_empty, step):
    for recorded, cordoned, ready in itertools.product(OPEN, (False, True), (False, True)):
        node = NodeFacts(name="w", boot_id=boot_id, mark=mark, is_cordoned=cordoned, is_ready=ready)
        progress = replace(PROGRESS, step=recorded)
        assert judge_step(node, progress, IDS, is_empty=is_empty).value == step


@pytest.mark.parametrize("step", sorted(ENDED, key=str))
def test_what_has_ended_is_not_looked_at_again(step):
    for node in (None, NodeFacts(name="w", boot_id=OLD), NodeFacts(name="w", boot_id=NEW, mark=MINE)):
        assert judge_step(node, replace(PROGRESS, step=step), IDS, is_empty=True) is step


@pytest.mark.parametrize("step", OPEN)
def test_a_node_that_does_not_exist_any_more_is_gone(step):
    assert judge_step(None, replace(PROGRESS, step=step), IDS, is_empty=True) is Step.GONE


def test_a_node_whose_boot_id_nobody_knew_has_not_restarted():
    node = NodeFacts(name="w", boot_id=NEW)
    assert judge_step(node, NodeProgress(boot_id=""), IDS, is_empty=True) is Step.PLANNED
    assert judge_step(replace(node, mark=MINE), NodeProgress(boot_id=""), IDS, is_empty=True) is Step.RESTARTING


# -- a node's life, with runs that end anywhere


@dataclass
class World:
    """A node with its pods, as it is; whoever works on it may end at any moment."""

    was_cordoned: bool = False
    boots: int = 1
    cordoned: bool = False
    ready: bool = True
    mark: str | None = None
    pods: int = 2
    restart_pod: str | None = None
    timer: bool = False
    heartbeat: str = "2026-11-22T07:59:00Z"
    faults: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.cordoned = self.was_cordoned

    @property
    def boot_id(self):
        return f"boot-{self.boots}"

    def node(self):
        return NodeFacts(
            name="w",
            boot_id=self.boot_id,
            is_ready=self.ready,
            is_cordoned=self.cordoned,
            mark=None if self.mark is None else NodeMark(**json.loads(self.mark)),
            heartbeat=parse_time(self.heartbeat),
        )

    def create_restart_pod(self, boot_id):
        self.restart_pod = boot_id
        if boot_id == self.boot_id:  # as the pod's script asks
            self.timer = True
            if not self.cordoned or self.pods:
                self.faults.append("restarted with pods on it")

    def boot(self):
        if self.timer:
            self.timer, self.boots, self.ready = False, self.boots + 1, False

    def wake(self):
        if not self.ready:
            self.ready, self.heartbeat = True, "2026-11-22T08:02:00Z"


def deeds(world, progress):
    """How far the node is, and the writes of one look at it in their order; none when there is nothing to do now."""
    node = world.node()
    step = judge_step(node, progress, frozenset({"r1"}), is_empty=not world.pods)
    mark = node.mark or NodeMark(run_id="r1", boot_id=progress.boot_id, was_cordoned=node.is_cordoned)

    def cordon():
        world.mark, world.cordoned = mark.dump(), True

    def evict():
        world.pods -= 1

    def create():
        world.create_restart_pod(mark.boot_id)

    def request():
        world.mark = replace(mark, requested_at=ASKED).dump()

    def remove():
        world.restart_pod = None

    def put_back():
        world.mark, world.cordoned = None, mark.was_cordoned

    has_asked, moment = mark.requested_at is not None, parse_time(mark.requested_at)
    proof = judge_restarted(node, [], boot_id=progress.boot_id, requested_at=moment)
    due = {
        Step.PLANNED: [(cordon, True)],
        Step.DRAINING: [(evict, True)],
        Step.RESTARTING: [
            (create, not has_asked and not world.restart_pod),
            (request, not has_asked),
            (remove, not has_asked or world.restart_pod),
        ],
        Step.RETURNING: [(put_back, proof.outcome is Outcome.DONE)],
    }
    return step, {deed.__name__: deed for deed, is_due in due.get(step, ()) if is_due}


LIFE = [
    ("recorded", "planned"),
    ("cordon", "draining"),
    ("evict", "draining"),
    ("evict", "restarting"),
    ("create", "restarting"),
    ("request", "restarting"),
    ("remove", "restarting"),
    ("boot", "returning"),
    ("wake", "returning"),
    ("put_back", "done"),
]


def lead(world, steps):
    """Carry a node through the first ``steps`` moments of its life."""
    progress = NodeProgress(boot_id="boot-1")
    for moment, _step in LIFE[1:steps]:
        if moment in ("boot", "wake"):
            getattr(world, moment)()
        else:
            deeds(world, progress)[1][moment]()


@pytest.mark.parametrize("was_cordoned", [False, True])
@pytest.mark.parametrize("steps", range(1, len(LIFE) + 1))
def test_a_second_run_goes_on_where_the_first_was_killed(steps, was_cordoned):
    for recorded in OPEN:
        world = World(was_cordoned=was_cordoned)
        lead(world, steps)
        progress = NodeProgress(boot_id="boot-1", step=recorded)
        step, _writes = deeds(world, progress)
        assert step.value == LIFE[steps - 1][1]
        for _look in range(20):
            step, writes = deeds(world, progress)
            for write in writes.values():
                write()
            world.boot()
            world.wake()
        assert (step, world.boots, world.mark, world.cordoned) == (Step.DONE, 2, None, was_cordoned)
        assert world.faults == []


def test_a_boot_between_request_and_its_note_is_not_answered_by_a_second_one():
    """The pod has asked the host, the run is killed before it notes so, and the host restarts."""
    world = World()
    lead(world, 5)
    world.boot()
    step, writes = deeds(world, NodeProgress(boot_id="boot-1"))
    assert (step, writes, world.boots) == (Step.RETURNING, {}, 2)


def test_runs_that_are_killed_anywhere_restart_a_node_once():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _life in range(500):
        world = World(was_cordoned=rng.random() < 0.3, pods=rng.randint(0, 4))
        recorded = [NodeProgress(boot_id=world.boot_id)]
        for _look in range(200):
            step, writes = deeds(world, recorded[-1])
            if step is Step.DONE:
                break
            if rng.random() < 0.5:  # else the record was not written in time
                recorded.append(replace(recorded[-1], step=step))
            for write in writes.values():
                write()
                if rng.random() < 0.2:
                    break  # killed
                if rng.random() < 0.3:
                    world.boot()
            rng.choice([world.boot, world.wake, lambda: None])()
        assert (step, world.boots, world.mark, world.cordoned) == (Step.DONE, 2, None, world.was_cordoned)
        assert world.faults == []
