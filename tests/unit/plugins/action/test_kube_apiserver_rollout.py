# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin without a module: what it gives to one, what it shows of it, and what it returns."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.bound_tokens.openshift.plugins.action import kube_apiserver_rollout as plugin

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin, "display", SimpleNamespace(display=lines.append))
    return lines


@pytest.fixture
def make(monkeypatch, tmp_path):
    """Return a function that makes the plugin for a task; ``module`` stands where the module runs."""
    monkeypatch.setattr(plugin.constants, "DEFAULT_LOCAL_TMP", str(tmp_path))

    def build(module, *, args=None, transport="local", become=False, no_log=False, async_val=0):
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        loader.set_vault_secrets([("default", VaultSecret(b"secret"))])
        task = SimpleNamespace(
            args=args or {},
            async_val=async_val,
            no_log=no_log,
            check_mode=False,
            diff=False,
            action="bound_tokens.openshift.kube_apiserver_rollout",
            environment=[{"OTHER": "kept"}],
            get_search_path=lambda: [str(tmp_path)],
            _role=None,
        )
        connection = SimpleNamespace(transport=transport, become=None, _shell=SimpleNamespace(tmpdir=None))
        action = plugin.ActionModule(task, connection, SimpleNamespace(become=become), loader, None, None)
        monkeypatch.setattr(action, "_remove_tmp_path", lambda path: None)
        monkeypatch.setattr(action, "_execute_module", lambda module_args, **more: module(module_args, target_of(task)))
        return action

    return build


def target_of(task):
    """What the module finds in its environment."""
    return {k: v for variables in task.environment for k, v in variables.items()}.get("BOUND_TOKENS_PROGRESS")


def run(action):
    return action.run(task_vars={"inventory_hostname": "bastion"})


def write(target, line):
    with Path(target).open("a", encoding="utf-8") as file:
        file.write(line)


def test_lines_are_shown_while_the_module_works(make, shown):
    def module(arguments, target):
        write(target, "one\ntw")
        deadline = time.monotonic() + 10
        while not shown and time.monotonic() < deadline:
            time.sleep(0.01)
        assert shown == ["[bastion] one"]
        write(target, "o\nthree\n")
        module.file = Path(target)
        return {"changed": False}

    action = make(module)
    assert run(action) == {"changed": False}
    assert action._task.environment == [{"OTHER": "kept"}]
    assert shown == ["[bastion] one", "[bastion] two", "[bastion] three"]
    assert not module.file.exists()


@pytest.mark.parametrize("where", [{"transport": "ssh"}, {"become": True}])
def test_lines_come_at_the_end_from_where_the_file_is_out_of_reach(make, shown, where):
    def module(arguments, target):
        assert target == "-"
        return {"failed": True, "_progress": ["one", "two"]}

    assert run(make(module, **where)) == {"failed": True}
    assert shown == ["[bastion] one", "[bastion] two"]


@pytest.mark.parametrize("how", [{"no_log": True}, {"async_val": 60}, {"no_log": True, "transport": "ssh"}])
def test_nothing_is_asked_for_that_may_not_or_can_not_be_shown(make, shown, how):
    def module(arguments, target):
        assert target is None
        return {"changed": True}

    assert run(make(module, **how)) == {"changed": True}
    assert shown == []


def test_a_module_that_breaks_leaves_no_file_and_no_thread(make, shown, tmp_path):
    def module(arguments, target):
        write(target, "one\n")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(make(module))
    assert shown == ["[bastion] one"]
    assert list(tmp_path.glob("progress-*")) == []


def kubeconfig_given(make, value, **how):
    given = []
    run(make(lambda arguments, target: given.append(arguments["kubeconfig"]) or {}, args={"kubeconfig": value}, **how))
    return given[0]


def test_a_kubeconfig_is_found_among_the_files_of_the_play(make, shown, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "cluster.yml").write_text("a: b")
    assert kubeconfig_given(make, "cluster.yml") == str(tmp_path / "files" / "cluster.yml")
    assert kubeconfig_given(make, "cluster.yml", transport="ssh") == "cluster.yml"


@pytest.mark.parametrize("value", [{"clusters": []}, "/no/where", "one:two"])
def test_any_other_kubeconfig_is_left_to_the_module(make, shown, value):
    assert kubeconfig_given(make, value) == value


def test_a_vaulted_kubeconfig_is_decrypted_for_the_module_only(make, shown, tmp_path):
    vaulted = tmp_path / "vaulted.yml"
    vaulted.write_bytes(VaultLib([("default", VaultSecret(b"secret"))]).encrypt("a: b"))
    seen = {}

    def module(arguments, target):
        seen[arguments["kubeconfig"]] = Path(arguments["kubeconfig"]).read_text()
        return {}

    run(make(module, args={"kubeconfig": str(vaulted)}))
    assert list(seen.values()) == ["a: b"]
    assert not Path(next(iter(seen))).exists()
    with pytest.raises(AnsibleActionFail, match="leave out async"):
        run(make(module, args={"kubeconfig": str(vaulted)}, async_val=60))


def test_a_vaulted_kubeconfig_without_its_password_is_a_sentence(make, shown, tmp_path):
    vaulted = tmp_path / "vaulted.yml"
    vaulted.write_bytes(VaultLib([("default", VaultSecret(b"another"))]).encrypt("a: b"))
    with pytest.raises(AnsibleActionFail, match="Could not read the kubeconfig"):
        kubeconfig_given(make, str(vaulted))


def test_every_module_is_sent_here():
    routing = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["plugin_routing"]["modules"]
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    assert {"kube_apiserver_rollout", *routing} == modules
    assert {r["action_plugin"] for r in routing.values()} == {"bound_tokens.openshift.kube_apiserver_rollout"}
