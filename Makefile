# The commands of this repository. Each does the set-up that it needs; `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup runtime extras media demo test docs wheel lint format bench soak fuzz audit clean
# No target may start before the set-up has finished.
.NOTPARALLEL:

export AST_NET_MEDIA ?= $(CURDIR)/.cache/media
ENTER := source ./env.sh &&
PYTEST_ARGS ?=
BENCH_ARGS ?=

help: ## list the commands
	@echo "make COMMAND, where COMMAND is one of:"
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1\t\2/p' Makefile | expand -t 12
	@echo "ROS_DISTRO=kilted make setup installs ROS 2 Kilted instead of Jazzy; a sourced ROS 2 is used as it is."

setup: ## create .venv with ROS 2 and all libraries, build the package (quick when nothing changed)
	@tools/setup/setup.sh dev

runtime: # what running the node needs, without torch
	@tools/setup/setup.sh
	@$(ENTER) python tools/setup/fetch_media.py "$(AST_NET_MEDIA)"

extras: setup
	@tools/setup/setup.sh dev docs viewer

media: setup
	@$(ENTER) python tools/setup/fetch_media.py "$(AST_NET_MEDIA)"

demo: runtime ## run the node on a face video that is played as a camera; results in out/demo
	@$(ENTER) python tools/run.py demo --output out/demo

test: media extras ## run the tests; PYTEST_ARGS="-k tracking -x" selects
	@$(ENTER) python tools/setup/run_tests.py $(PYTEST_ARGS)

docs: setup ## build the documentation into out/site and check its links and spelling
	@tools/setup/setup.sh docs
	@$(ENTER) tools/docs/build.sh out/site

wheel: ## build sdist and wheel into dist/, check them with twine and in clean environments
	@tools/setup/build_wheel.sh

lint: setup ## check format, style and types
	@$(ENTER) ruff format --check . && ruff check . && mypy

format: setup ## format all files
	@$(ENTER) ruff format . && ruff check --fix .

MINUTES ?= 30
soak: media ## run the node for MINUTES (30) under changing conditions; metrics and plot in out/soak
	@$(ENTER) python tools/run.py soak --minutes $(MINUTES) --output out/soak

bench: media ## measure speed and latency on this machine, into benchmarks/; BENCH_ARGS="--full" selects
	@$(ENTER) python tools/run.py bench --output benchmarks $(BENCH_ARGS)

FUZZ_ARGS ?= --seconds 60
fuzz: media ## feed damaged input to every reader; FUZZ_ARGS="raw_image --inputs 1000000" selects
	@pip=.cache/fuzz; [ -d $$pip ] || .venv/bin/python -m pip install -q --no-deps --target $$pip -r tools/setup/requirements/fuzz.txt \
		|| echo "atheris has no wheel for this Python: using random mutation instead"
	@$(ENTER) PYTHONPATH=$(CURDIR)/.cache/fuzz:$$PYTHONPATH python test/fuzz/fuzz.py --found out/fuzz $(FUZZ_ARGS)

AUDIT_ARGS ?=
audit: setup ## write an SBOM and the known vulnerabilities into out/audit
	@tools/setup/audit.sh $(AUDIT_ARGS)

clean: ## remove everything that the commands above created
	rm -rf .venv .cache build install log out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
