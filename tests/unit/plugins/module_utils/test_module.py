# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret in what a module prints or logs, whatever is wrong with its options."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bound_tokens.openshift.plugins.module_utils import _module
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import CollectionError
from ansible_collections.bound_tokens.openshift.plugins.modules import (
    service_account_issuer,
    service_account_issuer_info,
)

SECRET = "c2VjcmV0LXRva2Vu.eyJzZWNyZXQi.OiJ5ZXMifQ"
NOBODY = "https://127.0.0.1:1"


def kubeconfig(token=SECRET, server=NOBODY):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }


@pytest.fixture
def run(monkeypatch):
    """Runs a module and returns its result, and all that it printed or logged."""

    def run(module, **arguments):
        printed, logged = StringIO(), []
        monkeypatch.setattr(AnsibleModule, "log", lambda self, msg, log_args=None: logged.append(f"{msg} {log_args}"))
        monkeypatch.delenv("K8S_AUTH_KUBECONFIG", raising=False)
        with patch_module_args(arguments), redirect_stdout(printed), pytest.raises(SystemExit):
            module.main()
        text = printed.getvalue()
        return json.loads(text.strip().splitlines()[-1]), text + "".join(logged)

    return run


class Noisy:
    """A module that repeats what a cluster has told it, and a secret with a line break."""

    @staticmethod
    def main():
        def body(context):
            context.warn(f"warned of a\x1b[2J{SECRET}\nx")
            raise CollectionError(f"failed with a\x1b[2J{SECRET}\nx\ud800")

        _module.run_module(body, argument_spec={})


def test_what_a_terminal_would_obey_is_not_in_what_people_are_told(run, monkeypatch):
    warned = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warned.append(text))
    result, output = run(Noisy, kubeconfig=kubeconfig(f"{SECRET}\nx"))
    assert result["msg"].startswith("failed with a [2J***")
    assert result["msg"].isprintable()
    assert warned == ["warned of a [2J********"]
    assert SECRET not in output


CASES = [
    ("nothing wrong but the address", service_account_issuer_info, {"kubeconfig": kubeconfig()}),
    ("a malformed issuer", service_account_issuer, {"issuer": "http://a", "kubeconfig": kubeconfig()}),
    ("no issuer at all", service_account_issuer, {"kubeconfig": kubeconfig()}),
    ("an unknown option", service_account_issuer, {"isuer": "x", "kubeconfig": kubeconfig()}),
    ("a token with a line break", service_account_issuer_info, {"kubeconfig": kubeconfig(f"{SECRET}\nx")}),
    ("a kubeconfig as text", service_account_issuer_info, {"kubeconfig": yaml.safe_dump(kubeconfig())}),
    ("a kubeconfig as JSON text", service_account_issuer_info, {"kubeconfig": json.dumps(kubeconfig())}),
    ("a line break behind the token", service_account_issuer_info, {"host": NOBODY, "api_key": f"{SECRET}\n"}),
    ("a line break in the token", service_account_issuer_info, {"host": NOBODY, "api_key": f"{SECRET}\n{SECRET}"}),
    ("a list as kubeconfig", service_account_issuer_info, {"kubeconfig": [kubeconfig()]}),
    (
        "a password in the address",
        service_account_issuer_info,
        {"kubeconfig": kubeconfig("t", f"https://u:{SECRET}@h:1")},
    ),
]


@pytest.mark.parametrize(("name", "module", "arguments"), CASES, ids=[row[0] for row in CASES])
def test_no_secret_is_shown_or_logged(run, name, module, arguments):
    result, output = run(module, **arguments)
    assert result["failed"]
    assert "Traceback" not in output
    assert SECRET not in output
    assert SECRET not in json.dumps(result)


SENTENCES = [
    ({"kubeconfig": "apiVersion: v1\nkind: Config"}, "The option kubeconfig is the content of a file; give its path"),
    ({"kubeconfig": 5}, "The option kubeconfig is a int; give the path of a file, or a dictionary."),
    ({"host": "api.example.com"}, "The option host is not a URL; give one such as https://api.example.com:6443."),
    ({"host": "https://[::1"}, "The option host is not a URL; give one such as https://api.example.com:6443."),
    ({"host": NOBODY, "api_key": "a\nb"}, "The option api_key contains a line break"),
    (
        {"host": NOBODY, "api_key": "some-token", "ca_cert": "/nonexistent"},
        "Could not load the CA certificates /nonexistent: No such file",
    ),
    (
        {"host": NOBODY, "client_cert": "/c", "client_key": "/k"},
        "Could not load the client certificate /c and its key /k: No such file",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), SENTENCES, ids=[row[1] for row in SENTENCES])
def test_what_no_waiting_would_mend_is_a_sentence(run, arguments, sentence):
    result, _output = run(service_account_issuer_info, **arguments)
    assert result["msg"].startswith(sentence)


@pytest.mark.parametrize("options", [{"wait_sleep": 0, "wait_timeout": 5}, {"wait_sleep": 5, "wait_timeout": -1}])
def test_a_wait_that_is_none_is_refused(options):
    context = _module.Context(params=options, check_mode=False, cluster=None, clock=None, warn=print)
    with pytest.raises(_module.InvalidOption, match="at least 1 second"):
        context.wait_options()


def test_a_task_loads_nothing_of_what_only_runs_or_nodes_need():
    module = "ansible_collections.bound_tokens.openshift.plugins.modules.service_account_issuer"
    program = f"import sys, {module}; print(*(n.rpartition('.')[2] for n in sys.modules if 'bound_tokens' in n))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "_guard" in loaded
    assert {"_run", "_run_lock", "run_record", "lease", "run", "_node_model"} & set(loaded) == set()
