# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for OpenShift's kube-apiserver operator.

After an edit of ``authentications.config.openshift.io/cluster`` it shows the fields, the order, the words and (scaled) the
delays of the real operator, and really restarts real API servers: see ``tests/recordings/operator-recording.jsonl``.

    pace.py        how long each hop takes, in the real operator's seconds; timers
    issuers.py     the list of issuers and the flags that follow from it (pure)
    installer.py   which node goes next, and what happens to the one in flight (pure)
    conditions.py  conditions and the ClusterOperator, in the operator's own words (pure)
    manifests.py   the static pod, the installer pod and the ConfigMaps of a revision (pure)
    machine.py     all controllers together: a snapshot and the time in, writes out (pure but for the timers)
    cluster.py     reads the snapshot and carries out the writes
    __main__.py    options and the loop
"""

from __future__ import annotations
