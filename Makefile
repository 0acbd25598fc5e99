# `make` prints this help. Every target makes what it needs first, in a fresh clone too.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell sh requirements/choose_python.sh)
BIN := .venv/bin
READY := .venv/.ready
DATA ?= ../shared/data/online_retail.csv
# The files in requirements/images: what the services' images hold, and what some of them hold more.
IMAGES := runtime service notification recommendation-learner operator console smtp-sink
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

# A long computation that takes what the others leave of the cores.
BEHIND := $(shell command -v chrt >/dev/null 2>&1 && echo chrt -i 0 || echo nice -n 19)

.PHONY: help setup up status down demo test test-sim test-e2e test-integration test-integration-1 test-integration-2 test-others test-inputs e2e check check-1 check-2 check-3 lint schemas bench bench-check bench-peers audit lock format clean sim mutants fuzz chaos proof-fast proof-tests proof check-model compose-up compose-down browser-tests screenshots kubernetes

help: ## show this help
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1|\2/' | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

setup: $(READY) ## make .venv with the locked dependencies

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed (this is $$($(PYTHON) -V)); name one with PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "error: cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the locked dependencies into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: setup ## start Kafka, PostgreSQL and the services in the background; returns when all is ready
	@$(BIN)/python -m devstack up

status: setup ## what runs where
	@$(BIN)/python -m devstack status

down: setup ## stop everything that `up` started
	@$(BIN)/python -m devstack down

compose-up: ## the stack in containers (docker-compose.yml); builds the images, returns when all is ready
	@$(COMPOSE) up --build --detach
	@$(COMPOSE) logs --no-color ready

compose-down: ## stop the containers; their data stays in the volumes (WIPE=1 forgets it)
	@$(COMPOSE) --profile observability down --remove-orphans $(if $(WIPE),--volumes)

kubernetes: setup ## render deploy/kubernetes with kustomize and validate it with kubeconform (CHECK=1: say what is not current)
	@$(if $(CHECK),,$(BIN)/python deploy/kubernetes/generate.py)
	@$(BIN)/python deploy/kubernetes/render.py $(if $(CHECK),--check)

demo: setup ## real orders through the whole system, then the audit (KEEP=1 leaves it running, DATA=file.csv)
	@$(BIN)/python -m devstack.demo $(if $(KEEP),--keep) "$(DATA)"

test: setup ## every test: unit, contract, system, integration, e2e, 25,000 simulated orders; it starts what it needs
	@echo "its parts run three at a time; each tells its results when it has ended"
	@rm -rf .reports
	@$(MAKE) --no-print-directory --keep-going --jobs=3 --output-sync=target $(PARTS_OF_TEST) || \
	  { $(BIN)/python tests/failures.py $(REPORTS); exit 1; }

# The slowest ones first. The simulation only computes: it has the cores while the others wait. More at a time only wait for
# each other, each with a broker of its own that costs something also when nothing happens.
PARTS_OF_TEST := test-sim test-e2e test-integration-2 test-integration-1 test-others test-inputs
REPORTS := .reports/e2e.xml .reports/integration-1.xml .reports/integration-2.xml .reports/others.xml

test-sim:
	@$(BEHIND) $(MAKE) --no-print-directory sim

test-e2e:
	@$(BIN)/python -m pytest -q -m "not proof" --junitxml=.reports/e2e.xml tests/e2e

# Two halves, each with a Kafka and a PostgreSQL of its own.
INTEGRATION_1 := tests/integration/test_[a-lr]*.py
INTEGRATION_2 := tests/integration/test_[m-qs-z]*.py
test-integration-1 test-integration-2: test-integration-%:
	@$(BIN)/python -m pytest -q -m "not proof" --junitxml=.reports/integration-$*.xml $(INTEGRATION_$*)

test-integration: test-integration-1 test-integration-2

test-others:
	@$(BIN)/python -m pytest -q --junitxml=.reports/others.xml tests/unit tests/contract tests/system

test-inputs:
	@$(BIN)/python -m proof.flood --count 10000 --fresh

e2e: setup ## the scenarios of the public contract against a running stack, through Kafka and HTTP alone
	@$(BIN)/python -m pytest -q tests/e2e

check: setup ## format, lint, types, import rules, unit and contract tests, published contract; no broker
	@$(MAKE) --no-print-directory --keep-going --jobs=4 --output-sync=target lint check-1 check-2 check-3

# Some of them wait, and two cores are two: in three processes it takes half as long as in one.
CHECKED_1 := tests/contract tests/unit/test_[i-lp-z]*.py
CHECKED_2 := tests/unit/test_[a-h]*.py
CHECKED_3 := tests/unit/test_[m-o]*.py
check-1 check-2 check-3: check-%:
	@$(BIN)/python -m pytest -q $(CHECKED_$*)

lint: setup ## format, lint, types, import rules
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

sim: setup ## 25,000 simulated orders with everything going wrong, on all cores (SEEDS=A:B, ORDERS=n; docs/simulation.md)
	@$(BIN)/python -m simulation run --seeds $(or $(SEEDS),0:625) --orders $(or $(ORDERS),40) --jobs $$(nproc) --verify $(or $(VERIFY),100) --json .simulation/gate.json --fresh

mutants: setup ## every hand-made bug against the tests that have to find it (MUTANTS="--only NAME", docs/guarantees.md)
	@PYTHONPATH=tests $(BIN)/python -m mutants --json .proof/mutants.json $(MUTANTS)

fuzz: setup .venv/.fuzz ## hostile messages guided by the branches they reach (atheris; FUZZ="--runs 10000000 --seed 2")
	@$(BIN)/python -m proof.fuzz $(FUZZ)

.venv/.fuzz: $(READY) requirements/fuzz.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@

schemas: setup ## make the JSON Schemas and the AsyncAPI document anew from the models (`check` tells when they are not current)
	@$(BIN)/python -m contracts.publish write

format: setup ## format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

bench: setup ## load and cost per order on a stack of its own (see benchmarks/)
	@$(BIN)/python -m benchmarks run

bench-peers: setup .venv-dbos/.ready ## the same order here, the usual way and on DBOS Transact, in turns
	@$(BIN)/python -m benchmarks peers

browser-tests: setup ## the console in a real browser: every action, axe, the stream (installs Debian's Chromium; minutes)
	@tests/browser/install.sh
	@$(BIN)/python -m pytest -q tests/browser

screenshots: setup ## pictures of every page of the console, into docs/console
	@tests/browser/install.sh
	@SCREENSHOTS=docs/console $(BIN)/python -m pytest -q tests/browser/test_pages.py -k pictures

bench-check: setup ## has an order become dearer than the committed baseline? (about three minutes)
	@$(BIN)/python -m benchmarks check

.venv-dbos/.ready: requirements/dbos.txt
	@test -x .venv-dbos/bin/python || $(PYTHON) -m venv .venv-dbos
	@echo "installing DBOS Transact into .venv-dbos"
	@.venv-dbos/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dbos.txt
	@touch $@

chaos: setup ## kill, stop and cut everything under load, then audit: 20 kills in 2 minutes (CHAOS="--kills 50 --rounds 8 ...", docs/guarantees.md)
	@$(BIN)/python -m chaos kill-run $(CHAOS)

proof-fast: setup ## every crash point of the runtime once, and the kill run; 7 minutes (RATE=50 orders/s where the machine carries it)
	@$(BIN)/python -m chaos crash-points --fast --rate $(or $(RATE),20)
	@$(BIN)/python -m chaos kill-run --rate $(or $(RATE),20)

proof-tests: setup ## the tests that take too long for `make test`: backup, upgrade, spread, staged faults, every crash of the tally
	@$(BIN)/python -m pytest -q -m proof tests/integration
	@$(BIN)/python -m pytest -q -m proof tests/e2e

proof: setup ## every long run there is (chaos/proof.list); hours, goes on where it was interrupted
	@$(BIN)/python -m chaos.proof

audit: setup ## check every promise against databases, gateway and topics of the running stack
	@eval "$$($(BIN)/python -m devstack env)" && $(BIN)/orderctl audit

check-model: setup ## search every world of the model checker's scenarios, small and large (results in .proof/checker; goes on where it was)
	@$(BIN)/python -m simulation.checker --long

lock: setup ## resolve requirements/*.in anew, with hashes; each image's are versions of dev.txt
	@for name in base console dev java dbos browser fuzz $(IMAGES:%=images/%); do case $$name in images/*|browser) of=--constraints=requirements/dev.txt ;; *) of= ;; esac; \
	  uv pip compile --quiet --generate-hashes --no-emit-index-url --universal $$of \
	  --python-version 3.11 --custom-compile-command "make lock" requirements/$$name.in -o requirements/$$name.txt; done

clean: setup ## stop the stack and remove its data
	@$(BIN)/python -m devstack down
	@rm -rf .devstack
