# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands before every module of the collection on the machine that runs Ansible; meta/runtime.yml sends them all here.

It finds the kubeconfig among the play's files, decrypts it, and shows the module's lines of progress while it works. It bears
the name of the module whose lines matter most, because Ansible wants an action plugin to have the name of a module.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

#: Seconds between two looks at the file into which the module writes.
INTERVAL = 0.2
#: The environment variable that names the file to the module, or IN_RESULT: hand over the lines with the result.
VARIABLE = "BOUND_TOKENS_PROGRESS"
IN_RESULT = "-"

display = Display()


class ActionModule(ActionBase):
    """Runs the module of the task, shows what it says meanwhile, and returns its result."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        arguments = dict(self._task.args)
        host = str((task_vars or {}).get("inventory_hostname", "localhost"))
        is_local = self._connection.transport == "local"
        is_async = bool(self._task.async_val)
        if is_local and arguments.get("kubeconfig"):
            arguments["kubeconfig"] = self._find_kubeconfig(arguments["kubeconfig"])
        with self._shown_progress(host, is_readable=is_local and not self._play_context.become) as target:
            environment = list(self._task.environment or ())
            # for this run of the module only: the task is used again for the next item of a loop
            self._task.environment = [*environment, {VARIABLE: target}] if target else environment
            try:
                result.update(self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=is_async))
            finally:
                self._task.environment = environment
        for line in result.pop("_progress", ()):
            _show(host, line)
        if not is_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001 (as Ansible's own plugins do)
            if isinstance(arguments.get("kubeconfig"), str):
                self._loader.cleanup_tmp_file(arguments["kubeconfig"])  # only if it is one
        return result

    def _find_kubeconfig(self, kubeconfig: Any) -> Any:
        """Return the path of the decrypted file; anything that is not the path of one file as it is."""
        if isinstance(kubeconfig, Mapping):
            return kubeconfig
        try:
            found = self._find_needle("files", str(Path(str(kubeconfig)).expanduser()))
        except AnsibleError:
            return kubeconfig  # several paths, or none: the module says so in its own words
        try:
            decrypted: str = self._loader.get_real_file(found, decrypt=True)
        except AnsibleError as error:
            raise AnsibleActionFail(f"Could not read the kubeconfig {kubeconfig}: {error}") from error
        if decrypted != found and self._task.async_val:
            raise AnsibleActionFail(
                f"The kubeconfig {kubeconfig} is vaulted, and its decrypted copy would be gone before an asynchronous "
                "task has read it; decrypt it, or leave out async."
            )
        return decrypted

    @contextmanager
    def _shown_progress(self, host: str, *, is_readable: bool) -> Iterator[str | None]:
        """Show the lines of a file while it exists; give what the module shall write to, None for nothing."""
        if self._task.no_log or self._task.async_val:
            yield None
            return
        if not is_readable:
            yield IN_RESULT
            return
        # the folder goes when ansible-playbook ends, however it ends
        number, name = tempfile.mkstemp(prefix="progress-", dir=constants.DEFAULT_LOCAL_TMP)
        os.close(number)
        ended = threading.Event()
        reader = threading.Thread(target=_follow, args=(host, name, ended), daemon=True)
        reader.start()
        try:
            yield name
        finally:
            ended.set()
            reader.join()
            Path(name).unlink(missing_ok=True)


def _follow(host: str, name: str, ended: threading.Event) -> None:
    """Show each line of a growing file, until it has been read to its end after ``ended``."""
    with Path(name).open(encoding="utf-8", errors="replace") as file:
        rest, is_last = "", False
        while not is_last:
            is_last = ended.wait(INTERVAL)
            *lines, rest = (rest + file.read()).split("\n")
            for line in lines:
                _show(host, line)


def _show(host: str, line: str) -> None:
    display.display(f"[{host}] {line}")
