# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine without the client's packages: the task fails with a sentence, not with a traceback."""

from __future__ import annotations

import importlib
import sys

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import libraries
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import CollectionError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import connection_options


@pytest.mark.parametrize("package", ["kubernetes", "openshift.dynamic", "urllib3"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, package):
    with monkeypatch.context() as machine:
        machine.setitem(sys.modules, package, None)
        importlib.reload(libraries)
        with pytest.raises(CollectionError) as failure:
            Cluster(connection_options({}, {}))
    importlib.reload(libraries)
    assert package in str(failure.value)
    assert "pip install kubernetes openshift jmespath" in str(failure.value)
    assert "Traceback" not in str(failure.value)
    assert "\n" not in str(failure.value)
