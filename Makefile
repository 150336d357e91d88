# SPDX-License-Identifier: GPL-3.0-or-later
# "make" alone lists what there is. Each target makes its own environment first; that takes a moment when nothing changed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help venv requirements demo test ci lint unit sanity system slow molecule lab-up lab-down lab-status lab-test soak bench build clean

BIN := .venv/bin
LAB := PYTHONPATH=tests/lab $(BIN)/python -m lab
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## .venv with the pinned tools, the checkout linked into it
	@scripts/venv

demo: venv ## the main playbook on a lab, from nothing to the report
	@$(BIN)/python scripts/demo.py

test: venv ## lint, unit, archive, sanity, lab, system, molecule
	@$(BIN)/python scripts/stages.py

ci: venv ## make test, rollouts with random reaction times, rotations and restarts that are killed (root)
	@$(BIN)/python scripts/stages.py lint unit archive sanity random lab system molecule

lint: venv ## ruff, mypy, yamllint, ansible-lint, documentation, changelog
	@$(BIN)/python scripts/stages.py --keep-going lint

unit: venv ## unit tests
	@pytest -q tests/unit

sanity: venv ## ansible-test sanity
	@scripts/sanity

system: venv ## the collection against a lab (root)
	@$(BIN)/python scripts/stages.py --keep-going system

slow: venv ## random tests and kills, and what takes whole rollouts and restarts of nodes, hours (root)
	@$(BIN)/python scripts/stages.py --keep-going slow random

molecule: venv ## molecule scenarios on a lab (root)
	@$(BIN)/python scripts/stages.py molecule

lab-test: venv ## the lab's own tests (root for all of them)
	@$(BIN)/python scripts/stages.py --keep-going lab

lab-up: venv ## a lab; the last line is the path of its kubeconfig (root)
	@$(LAB) up

lab-down: venv ## the lab is gone without a trace
	@$(LAB) down

lab-status: venv ## what of the lab runs
	@$(LAB) status

soak: venv ## the tests that take hours, most of them randomised
	@pytest -s -x tests/soak

bench: venv ## figures, side by side
	@$(BIN)/python -m tests.benchmarks

build: venv ## the collection's archive in dist/
	@$(BIN)/python scripts/archive.py

requirements: venv ## requirements/dev.txt anew from pyproject.toml
	uv pip compile -q --upgrade --universal --no-header --no-annotate -p 3.11 --group pyproject.toml:dev -o requirements/dev.txt

clean: ## without .venv, caches of the checkout and dist/; the lab's cache stays
	rm -rf .venv .cache .ansible dist tests/output
