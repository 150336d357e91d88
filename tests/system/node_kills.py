# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts of nodes that are killed at random moments, and what the cluster and its audit logs say afterwards."""

from __future__ import annotations

import subprocess
import time

from interruptions import MOST_KILLS, VICTIMS, now, play
from node_runs import Members, as_role, boot_ids, check, make_whole, plan, read_record, set_cordon

#: From the first line with these words, within so many seconds.
MOMENTS = [
    ("PLAY [", 15),
    ("TASK [bound_tokens.openshift.node_restart : Restart all nodes", 8),
    (" is cordoned next", 1),
    (" is cordoned and being emptied", 3),
    (" is empty", 5),
    (" restarts within", 15),
    (" has restarted", 10),
    (" is done", 5),
]


def kill_restarts(lab, chance, kills):
    """Kill each of VICTIMS ``kills`` times, in any order, in as many restarts as that takes. Prints what was done."""
    victims = chance.sample(VICTIMS * kills, len(VICTIMS) * kills)
    while victims:
        story = restart_with_kills(lab, chance, victims[:MOST_KILLS])
        print("; ".join(story))
        victims = victims[len(story) - 1 :]


def restart_with_kills(lab, chance, victims):
    """Kill run after run over both workers and a master, until one ends before its moment or no victim is left; then let one
    end, and hold what it leaves and the audit logs against what must be.

    Returns a line for the beginning and one for each kill.
    """
    make_whole(lab)
    lab.command("apply", "tests/demo/workloads.yml", stdout=subprocess.DEVNULL)
    names = [node.name for node in lab.settings.nodes if not node.master] + [chance.choice(lab.settings.masters).name]
    cordoned = names[-1:] if chance.random() < 0.5 else []
    for name in cordoned:
        set_cordon(lab, name, True)
    run_id = f"killed-{time.time_ns()}" if chance.random() < 0.5 else None
    limits = {"max_unavailable": 1 + len(cordoned)}  # what others have cordoned counts, too
    variables = as_role(nodes=names, **limits, **({"run_id": run_id} if run_id else {}))
    since, before = now(), boot_ids(lab)
    story = [f"{', '.join(names)}, cordoned {', '.join(cordoned) or 'none'}, run {run_id}"]
    with Members(lab) as members:
        run = play(lab, "restart_nodes", **variables)
        for victim, (words, seconds) in zip(victims, chance.choices(MOMENTS, k=len(victims)), strict=True):
            pause, is_patient = chance.uniform(0, seconds), not run_id or chance.random() < 0.7
            run.wait_for(words)
            try:
                run.process.wait(timeout=pause)
                break
            except subprocess.TimeoutExpired:
                run.kill(victim, is_patient=is_patient)
            story.append(f"{victim} {pause:.1f} s after {words}{'' if is_patient else ', the next at once'}")
            run.log.unlink()
            # a run without a name leaves nothing to tell another one that it was over when it was killed
            if not run_id and not read_record(lab) and all(boot_ids(lab)[name] != before[name] for name in names):
                run = None
                break
            run = play(lab, "restart_nodes", **variables)
        if run:
            run.finish()
            run.log.unlink()
    try:
        check(lab, since, before, names, plan(lab, cordoned=cordoned))
        assert members.fewest >= 2, members.looks
        record = read_record(lab)
        assert (record and record["run_id"]) == run_id
        assert not record or {n["step"] for n in record["nodes"].values()} == {"done"}
    except AssertionError as error:
        raise AssertionError(f"{story}: {error}") from error
    return story
