# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role says three times what its variables are: argument specification, defaults and README agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<default>.*?) ?\| (?P<meaning>.+) \|$", re.MULTILINE)
NOTHING = object()


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def read_specification(role):
    options = read_yaml(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})
    return {
        name: (option.get("type", "str"), bool(option.get("required")), option.get("default", NOTHING))
        for name, option in options.items()
    }


def read_readme(role):
    """The table's rows: a default is YAML in backquotes; none is an empty cell or the word required."""
    rows = {}
    for row in ROW.finditer((role / "README.md").read_text(encoding="utf-8")):
        cell = row["default"]
        default = yaml.safe_load(cell.strip("`")) if cell.startswith("`") else NOTHING
        rows[row["name"]] = (row["type"], cell == "required", default)
    return rows


def find_used(role):
    """Names with the role's prefix in its tasks and templates, other than loops' own, parts of a longer name or of a module's."""
    name = re.compile(rf"(?<![\w.])({role.name}_\w+)")
    files = [p for folder in ("tasks", "templates", "handlers") for p in sorted((role / folder).rglob("*.*"))]
    texts = [path.read_text(encoding="utf-8") for path in files]
    own = {found for text in texts for found in re.findall(r"loop_var: (\w+)", text)}
    return {found for text in texts for found in name.findall(text)} - own


def find_hidden(role):
    """Names of vars/main.yml that a task sets as well, for itself and all that it includes."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((role / "tasks").rglob("*.yml")))
    return [name for name in read_yaml(role / "vars/main.yml") or {} if re.search(rf"(?<!\w){name}:", text)]


def check_role(role):
    specification, readme = read_specification(role), read_readme(role)
    defaults = read_yaml(role / "defaults/main.yml") or {}
    if readme != specification:
        for name in sorted(readme.keys() | specification.keys()):
            if readme.get(name) != specification.get(name):
                yield f"{name}: README says {readme.get(name)}, argument_specs says {specification.get(name)}"
    specified = {n: default for n, (_type, _required, default) in specification.items() if default is not NOTHING}
    if defaults != specified:
        yield f"defaults/main.yml has {defaults}, argument_specs has {specified}"
    for name in sorted(specification):
        if not name.startswith(f"{role.name}_"):
            yield f"{name} does not start with the role's name"
    for name in sorted(find_used(role) - specification.keys() - {f"{role.name}_result"}):
        yield f"{name} is used and not declared"
    for name in find_hidden(role):
        yield f"{name} is one of vars/main.yml, and a task sets another one of its name"


ROLES = sorted(p for p in (ROOT / "roles").iterdir() if p.is_dir())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_are_the_same_everywhere(role):
    assert list(check_role(role)) == []


def test_the_tables_are_read():
    assert {role.name: bool(read_readme(role)) for role in ROLES} == {role.name: True for role in ROLES}


FILES = {
    "README.md": "| variable | type | default | meaning |\n| `x_a` | list | `[1]` | A. |\n| `x_b` | str | | B. |\n",
    "defaults/main.yml": "x_a: [1]\n",
    "meta/argument_specs.yml": (
        "argument_specs: {main: {options: {x_a: {type: list, default: [1]}, x_b: {type: str}}}}\n"
    ),
    "tasks/main.yml": "- debug: {msg: '{{ x_a + x_b + x_result + __x_c + y.x_d }}'}\n",
    "vars/main.yml": "__x_c: 1\n",
}


@pytest.mark.parametrize(
    ("file", "old", "new", "count"),
    [
        ("README.md", "", "", 0),
        ("README.md", "[1]", "[2]", 1),
        ("README.md", "| str | |", "| str | required |", 1),
        ("README.md", "| `x_b` | str | | B. |", "", 1),
        ("defaults/main.yml", "[1]", "[1, 2]", 1),
        ("meta/argument_specs.yml", "type: list", "type: str", 1),
        ("tasks/main.yml", "x_b", "x_c", 1),
        ("tasks/main.yml", "- debug", "- vars: {__x_c: 2}\n  debug", 1),
    ],
)
def test_a_difference_is_found(tmp_path, file, old, new, count):
    role = tmp_path / "x"
    for name, text in FILES.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text.replace(old, new) if name == file else text)
    assert len(list(check_role(role))) == count
