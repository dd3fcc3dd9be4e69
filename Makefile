# The few commands of this project. Each does all the set-up that it needs; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup extras media demo test docs wheel lint format bench soak fuzz audit clean
# A later target must not start before the set-up has ended.
.NOTPARALLEL:

export AST_NET_MEDIA ?= $(CURDIR)/.cache/media
ENTER := source ./env.sh &&
PYTEST_ARGS ?=
BENCH_ARGS ?=

help: ## list the commands
	@echo "make COMMAND, where COMMAND is one of:"
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1\t\2/p' Makefile | expand -t 12
	@echo "ROS_DISTRO=kilted make setup takes ROS 2 Kilted in place of Jazzy; a sourced ROS 2 is used as it is."

setup: ## make .venv with ROS 2 and the libraries, build the messages (quick when nothing changed)
	@tools/setup/setup.sh

extras: setup
	@tools/setup/setup.sh docs viewer

media: setup
	@$(ENTER) python tools/setup/fetch_media.py "$(AST_NET_MEDIA)"

demo: media ## play a face video as a camera through the node; results in out/demo
	@$(ENTER) python tools/run.py demo --output out/demo

test: media extras ## run the tests; PYTEST_ARGS="-k tracking -x" chooses
	@$(ENTER) python tools/setup/run_tests.py $(PYTEST_ARGS)

docs: setup ## build the documentation into out/site, with its links and spelling checked
	@tools/setup/setup.sh docs
	@$(ENTER) tools/docs/build.sh out/site

wheel: ## build sdist and wheel into dist/, checked with twine and tried in a clean environment
	@tools/setup/build_wheel.sh

lint: setup ## check format, style and types
	@$(ENTER) ruff format --check . && ruff check . && mypy

format: setup ## put all files into the format that lint checks
	@$(ENTER) ruff format . && ruff check --fix .

MINUTES ?= 30
soak: media ## run the node for MINUTES (30) under changing conditions; figures and plot in out/soak
	@$(ENTER) python tools/run.py soak --minutes $(MINUTES) --output out/soak

bench: media ## measure speed and latency on this machine, into benchmarks/; BENCH_ARGS="--full" chooses
	@$(ENTER) python tools/run.py bench --output benchmarks $(BENCH_ARGS)

FUZZ_ARGS ?= --seconds 60
fuzz: media ## feed damaged input to every reader; FUZZ_ARGS="raw_image --inputs 1000000" chooses
	@pip=.cache/fuzz; [ -d $$pip ] || .venv/bin/python -m pip install -q --no-deps --target $$pip -r tools/setup/requirements/fuzz.txt \
		|| echo "atheris is not to be had here: random mutation takes its place"
	@$(ENTER) PYTHONPATH=$(CURDIR)/.cache/fuzz:$$PYTHONPATH python test/fuzz/fuzz.py --found out/fuzz $(FUZZ_ARGS)

AUDIT_ARGS ?=
audit: setup ## list what is installed (SBOM) and what is known against it, into out/audit
	@tools/setup/audit.sh $(AUDIT_ARGS)

clean: ## remove everything that the commands above made
	rm -rf .venv .cache build install log out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
