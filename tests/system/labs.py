# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab as the tests see it: real API servers, real kubelets. LAB_NAME and LAB_PORT choose it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from lab.api import Api, ApiError, Unreachable
from lab.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
USER_AGENT = "bound_tokens.openshift"
KUBE_APISERVER = "/apis/operator.openshift.io/v1/kubeapiservers/cluster"

#: Asks each API server directly, which only a process in the lab's own network can do.
ASK_EACH_SERVER = """
import json, ssl, sys, urllib.request
ca, cert, key, *addresses = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
found = []
for address in addresses:
    url = f"https://{address}:6443/.well-known/openid-configuration"
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        found.append(json.load(answer)["issuer"])
print(json.dumps(found))
"""


def eventually(look, timeout=240):
    """What ``look`` returns as soon as that is true; while API servers restart it may raise."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(ApiError, Unreachable):
            if found := look():
                return found
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.2)


class PatientApi(Api):
    """Bears API servers that are being restarted, as a person would, with requests that may be sent twice."""

    def request(self, method, path, *details):
        deadline = time.monotonic() + 60
        while True:
            try:
                return super().request(method, path, *details)
            except (Unreachable, ApiError) as error:
                passes = isinstance(error, Unreachable) or error.status in (429, 500, 503, 504)
                if method == "POST" or not passes or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


class Lab:
    """The lab under test."""

    def __init__(self, settings=None):
        self.settings = settings or Settings.from_environment()
        self.environment = {
            **os.environ,
            **self.settings.environment(),
            "PYTHONPATH": str(ROOT / "tests" / "lab"),
            "K8S_AUTH_KUBECONFIG": str(self.settings.kubeconfig),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.kubeconfig = str(self.settings.kubeconfig)
        self.url = self.settings.server_url
        self.ca = str(self.settings.pki / "ca.crt")

    @property
    def api(self):
        return PatientApi(self.settings)

    def command(self, *arguments, **options):
        """Run `python -m lab` with these arguments."""
        return subprocess.run([sys.executable, "-m", "lab", *arguments], env=self.environment, check=True, **options)

    def issuers_of_each_server(self):
        """What each API server says of itself, asked directly."""
        pki = self.settings.pki
        answer = self.command(
            "exec",
            "hub",
            sys.executable,
            "-c",
            ASK_EACH_SERVER,
            *(str(p) for p in (pki / "ca.crt", pki / "admin.crt", pki / "admin.key")),
            *(m.address for m in self.settings.masters),
            capture_output=True,
            text=True,
        )
        return json.loads(answer.stdout)

    def trusted_by_each_server(self):
        """The issuers that each API server's process was started with, the active one first."""
        script = "tr '\\0' '\\n' < /proc/$(pidof kube-apiserver)/cmdline | sed -n 's/^--service-account-issuer=//p'"
        answers = [
            self.command("exec", master.name, "sh", "-c", script, capture_output=True, text=True)
            for master in self.settings.masters
        ]
        return [answer.stdout.split() for answer in answers]

    def set_issuer(self, issuer):
        """Edit the issuer as a person with an editor would, past all of the collection's checks."""
        self.api.merge(
            "/apis/config.openshift.io/v1/authentications/cluster", {"spec": {"serviceAccountIssuer": issuer}}
        )

    def kube_apiserver(self):
        return self.api.get(KUBE_APISERVER)

    def active_issuer(self):
        """The issuer that is signed with as soon as the operator is done."""
        return active_issuer_of(self.kube_apiserver())

    def trust_only(self, *entries):
        """Put these in the place of the trusted issuers, as the way out of a poisoned list does."""
        self.api.merge(f"{KUBE_APISERVER}/status", {"status": {"serviceAccountIssuers": list(entries)}})

    def is_rolled_out(self, issuer):
        """Whether the last kube-apiserver has taken over the issuer, by what the operator and the kubelets report.

        Asked at one moment, without patience.
        """
        api = Api(self.settings)
        found = api.get(KUBE_APISERVER)
        status = found["status"]
        latest = status["latestAvailableRevision"]
        conditions = {c["type"]: c["status"] for c in status["conditions"]}
        if conditions["NodeInstallerProgressing"] != "False":
            return False
        if any((n.get("currentRevision"), n.get("targetRevision") or 0) != (latest, 0) for n in status["nodeStatuses"]):
            return False
        config = api.get(f"/api/v1/namespaces/openshift-kube-apiserver/configmaps/config-{latest}")
        issuers = json.loads(config["data"]["config.yaml"])["apiServerArguments"]["service-account-issuer"]
        observed = found["spec"]["observedConfig"]["apiServerArguments"]["service-account-issuer"]
        trusted = [i["name"] for i in status["serviceAccountIssuers"]]
        if not issuers == observed == trusted or issuers[0] != issuer or active_issuer_of(found) != issuer:
            return False
        for master in self.settings.masters:
            pod = api.get(f"/api/v1/namespaces/openshift-kube-apiserver/pods/kube-apiserver-{master.name}")
            ready = {c["type"]: c["status"] for c in pod["status"]["conditions"]}.get("Ready")
            if (pod["metadata"]["labels"]["revision"], ready) != (str(latest), "True"):
                return False
        return True

    def begin_module(self, name, **options):
        """A module as Ansible runs it, beside the test; its lines come from ``stdout`` while it works."""
        return subprocess.Popen(
            ["ansible", "localhost", "-m", f"bound_tokens.openshift.{name}", "-a", json.dumps(options)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def signal_server(self, node, name):
        """Send a signal to the kube-apiserver of a node; nothing when it does not run."""
        kill = f'pid=$(pidof kube-apiserver) && kill -{name} "$pid" || true'
        self.command("exec", node, "sh", "-c", kill)

    def audit_events(self, since):
        """What the API servers have logged of the requests since a moment, also those whose nodes are down; in no order."""
        for master in self.settings.masters:
            for path in (self.settings.node(master.name) / "var/log/kube-apiserver").glob("audit*.log"):
                for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                    event = json.loads(line)
                    if event["stage"] == "ResponseComplete" and event["requestReceivedTimestamp"] >= since:
                        yield event

    def run_on(self, node, command):
        self.command("exec", node, "sh", "-ec", command)


def active_issuer_of(kube_apiserver):
    return next(i["name"] for i in kube_apiserver["status"]["serviceAccountIssuers"] if len(i) == 1)


class TrueEnd:
    """Watches for the end of a rollout beside the wait, with eyes of its own; ``moment`` is monotonic."""

    def __init__(self, lab, issuer):
        self.lab, self.issuer, self.moment = lab, issuer, None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopped.wait(0.05):
            with contextlib.suppress(ApiError, Unreachable, KeyError, StopIteration):
                begin = time.monotonic()
                if self.lab.is_rolled_out(self.issuer):
                    self.moment = begin
                    return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_details):
        self.thread.join(timeout=5)
        self.stopped.set()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def running_lab(reaction_delay="0:4", operator_options="", settings=None):
    """A lab that is up; started when it is not, and then stopped at the end.

    Its operator reacts when it likes: each of its steps comes up to some seconds late, at random by a seed that is printed.
    """
    lab = Lab(settings)
    was_up = lab.settings.kubeconfig.exists()
    seed = int(os.environ.get("LAB_SEED") or random.SystemRandom().randrange(2**31))
    print(f"LAB_SEED={seed}", file=sys.stderr)
    lab.environment["LAB_OPERATOR_OPTIONS"] = f"--reaction-delay {reaction_delay} --seed {seed} {operator_options}"
    lab.command("up", stdout=sys.stderr)
    try:
        yield lab
    finally:
        if not was_up:
            lab.command("down", stdout=sys.stderr)
