# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the rules of docs/design.md by reading the source, and proves on broken examples that each rule can fail."""

from __future__ import annotations

import ast
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FRAGMENT = "bound_tokens.openshift."
LONGEST_FUNCTION = 60
DOORS = {
    "kubernetes": "_client/libraries.py",
    "openshift": "_client/libraries.py",
    "urllib3": "_client/libraries.py",
    "websocket": "_client/libraries.py",
    "yaml": "_client/libraries.py",
    "._client.libraries": "_client/*",
    "jmespath": "_client/*",
    "ansible.module_utils.basic": "_module.py",
}
PURE = ["_errors.py", "_model.py", "_claims.py", "_options.py", "_plan/*"]
IMPURE = {"asyncio", "io", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid"}
ASKS_FOR_THE_TIME = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


class Source:
    """One Python file below plugins/, with the modules it imports, at whatever depth."""

    def __init__(self, path, plugins):
        self.path = path
        self.name = path.relative_to(plugins).as_posix()
        self.room, _slash, self.file = self.name.partition("/")
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.imports = sorted(set(self._imports()))

    def _imports(self):
        """Dotted names; those of the collection's own module_utils start with a dot, relative to that folder."""
        package = ["plugins", *self.path.relative_to(self.path.parents[self.name.count("/")]).parts[:-1]]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                base = [*base, *(node.module.split(".") if node.module else [])]
                found = [".".join([*base, alias.name]) for alias in node.names]
            else:
                continue
            for name in found:
                yield re.sub(r"^(ansible_collections\.bound_tokens\.openshift\.)?plugins\.module_utils\.", ".", name)


def read_sources(root):
    plugins = root / "plugins"
    return [Source(path, plugins) for path in sorted(plugins.rglob("*.py"))]


def read_order(root):
    """The files of module_utils in the order in which docs/design.md lists them."""
    text = (root / "docs/design.md").read_text(encoding="utf-8")
    listed = text.partition("\n    plugins/module_utils/\n")[2].partition("\n    plugins/")[0]
    return re.findall(r"^      (\S+)", listed, re.MULTILINE)


def is_below(name, door):
    return name == door or name.startswith(door + ".")


def check_doors(sources, order):
    for source in sources:
        for name in source.imports:
            for door, keeper in DOORS.items():
                if is_below(name, door) and not fnmatch(source.file, keeper):
                    yield f"{source.name} imports {name}; only module_utils/{keeper} may"


def check_purity(sources, order):
    for source in sources:
        if source.room != "module_utils" or not any(fnmatch(source.file, pattern) for pattern in PURE):
            continue
        for name in source.imports:
            top = name.partition(".")[0]
            if top and (top not in sys.stdlib_module_names or top in IMPURE):
                yield f"{source.name} imports {name}; it is pure and may use the standard library's pure part only"
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node).endswith(tuple(ASKS_FOR_THE_TIME)):
                yield f"{source.name}:{node.lineno} asks for the time ({ast.unparse(node)})"


def check_order(sources, order):
    own = [source for source in sources if source.room == "module_utils"]
    place = {}
    for source in own:
        rows = [number for number, row in enumerate(order) if fnmatch(source.file, row)]
        if rows:
            place[source.file] = rows[0]
        else:
            yield f"{source.name} is not in the list of docs/design.md"
    for source in own:
        for name in source.imports:
            target = name[1:].replace(".", "/") if name.startswith(".") else ""
            # the last part may be a file or a name in a file
            file = next((f for f in (f"{target}.py", f"{target.rpartition('/')[0]}.py") if f in place), None)
            if file and source.file in place and file != source.file and place[file] >= place[source.file]:
                yield f"{source.name} imports {file}, which does not stand above it in docs/design.md"


def check_length(sources, order):
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    yield f"{source.name}:{node.lineno} {node.name} has {length} lines, more than {LONGEST_FUNCTION}"


def check_headers(sources, order):
    for source in sources:
        head = source.path.read_text(encoding="utf-8").splitlines()[:5]
        if source.tree.body and "# SPDX-License-Identifier: GPL-3.0-or-later" not in head:
            yield f"{source.name} does not start with its SPDX line"
        if source.tree.body and "__future__.annotations" not in source.imports:
            yield f"{source.name} lacks 'from __future__ import annotations'"


def read_documentation(source):
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            return yaml.safe_load(ast.literal_eval(node.value))
    return {}


def check_modules(root):
    runtime = root / "meta/runtime.yml"
    group = yaml.safe_load(runtime.read_text(encoding="utf-8"))["action_groups"]["cluster"] if runtime.exists() else []
    for source in read_sources(root):
        if source.room != "modules":
            continue
        name = source.path.stem
        fragments = read_documentation(source).get("extends_documentation_fragment", [])
        wanted = ["_auth", "_attributes", "_attributes.actiongroup_cluster"]
        wanted += ["_attributes.info_module"] if name.endswith("_info") else []
        for fragment in wanted:
            if FRAGMENT + fragment not in fragments:
                yield f"{source.name} does not extend the fragment {FRAGMENT}{fragment}"
        if name not in group:
            yield f"{source.name} is not in the action group cluster of meta/runtime.yml"


CHECKS = [check_doors, check_purity, check_order, check_length, check_headers]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_rule_holds(check):
    assert list(check(read_sources(ROOT), read_order(ROOT))) == []


def test_modules_have_attributes_and_are_in_the_action_group():
    assert list(check_modules(ROOT)) == []


def test_the_list_of_the_design_is_read():
    order = read_order(ROOT)
    assert order[0] == "_errors.py"
    assert order[-1] == "_node_module.py"
    assert [source.file for source in read_sources(ROOT) if source.name == "module_utils/_options.py"] == [
        "_options.py"
    ]


DESIGN = """
    plugins/modules/          documentation
    plugins/module_utils/
      _errors.py            errors
                            that tell
      _plan/issuer.py       plans
      _client/libraries.py  the client
      _client/cluster.py    the door
      _module.py            the host
    plugins/doc_fragments/    more
"""


def write_sources(root, texts):
    """The sources and the order of a small collection, for a check to look at."""
    for name, text in texts.items():
        path = root / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "docs").mkdir()
    (root / "docs/design.md").write_text(DESIGN)
    return read_sources(root), read_order(root)


@pytest.mark.parametrize(
    ("check", "file", "line", "sentence"),
    [
        (check_doors, "module_utils/_module.py", "import kubernetes.client", "imports kubernetes.client; only"),
        (check_doors, "modules/x.py", "from openshift import dynamic", "imports openshift.dynamic; only"),
        (check_doors, "module_utils/_client/cluster.py", "import urllib3", "imports urllib3; only"),
        (check_doors, "module_utils/_module.py", "from ._client import libraries", "imports ._client.libraries; only"),
        (
            check_doors,
            "module_utils/_client/cluster.py",
            "def f():\n    from ansible.module_utils import basic",
            "_module.py may",
        ),
        (check_doors, "filter/x.py", "from ansible.module_utils.basic import AnsibleModule", "_module.py may"),
        (check_purity, "module_utils/_plan/issuer.py", "import time", "imports time"),
        (check_purity, "module_utils/_plan/issuer.py", "import yaml", "imports yaml"),
        (check_purity, "module_utils/_errors.py", "from os import environ", "imports os.environ"),
        (check_purity, "module_utils/_plan/issuer.py", "import datetime\ndatetime.datetime.now()", "asks for the time"),
        (check_order, "module_utils/_plan/issuer.py", "from .._client.cluster import Cluster", "does not stand above"),
        (check_order, "module_utils/_plan/issuer.py", "from .._client import cluster", "does not stand above"),
        (
            check_order,
            "module_utils/_errors.py",
            "from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer import plan",
            "does not stand above",
        ),
        (check_order, "module_utils/_new.py", "", "is not in the list"),
        (check_length, "modules/x.py", "def f():\n" + "    pass\n" * 60, "f has 61 lines"),
        (check_headers, "filter/x.py", "import re", "SPDX"),
    ],
)
def test_rule_can_fail(tmp_path, check, file, line, sentence):
    sources = dict.fromkeys(
        ["module_utils/_errors.py", "module_utils/_plan/issuer.py", "module_utils/_client/cluster.py"], ""
    )
    found = list(check(*write_sources(tmp_path, {**sources, file: line})))
    assert any(file in entry and sentence in entry for entry in found), found


def test_what_is_allowed_passes(tmp_path):
    allowed = {
        "module_utils/_errors.py": "import re\nfrom datetime import datetime, timezone\n",
        "module_utils/_plan/issuer.py": "from .._errors import Refused\n",
        "module_utils/_client/libraries.py": "import kubernetes\n",
        "module_utils/_client/cluster.py": "from .._plan import issuer\nfrom . import libraries\n",
        "module_utils/_module.py": "from ansible.module_utils.basic import AnsibleModule\n",
    }
    sources, order = write_sources(tmp_path, allowed)
    assert [
        entry for check in (check_doors, check_purity, check_order, check_length) for entry in check(sources, order)
    ] == []


def test_a_module_without_attributes_or_group_is_found(tmp_path):
    (tmp_path / "plugins/modules").mkdir(parents=True)
    (tmp_path / "plugins/modules/x_info.py").write_text("DOCUMENTATION = 'module: x_info'\n")
    assert len(list(check_modules(tmp_path))) == 5
