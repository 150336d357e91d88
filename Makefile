# SPDX-License-Identifier: GPL-3.0-or-later
# "make" alone lists what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv requirements

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## .venv with the pinned tools, the checkout linked into it
	@scripts/venv

requirements: venv ## requirements/dev.txt anew from pyproject.toml
	uv pip compile -q --upgrade --universal --no-header --no-annotate -p 3.11 --group pyproject.toml:dev -o requirements/dev.txt
