# make up, make test: everything else is in the README.
STACK ?= local
INPUT ?=
REFRESH ?=
SNAPSHOT ?=
YES ?=
APP ?= spark_jobs/pi.py
ARGS ?=
OPTIONS ?=
RUN ?=
FROM ?=
TO ?=
BY ?=
NAME ?=
CONTEXT ?=
REGISTRY ?=
PACKAGES ?=
DEBIAN ?=

# As they were written: they reach a recipe by its environment, so that neither make nor the shell
# runs what stands in a name.
given := STACK INPUT REFRESH SNAPSHOT YES APP ARGS OPTIONS RUN FROM TO BY NAME CONTEXT REGISTRY PACKAGES DEBIAN
$(foreach name,$(given),$(eval override $(name) := $$(value $(name))))
export $(given)
# What would change Python or a shell before they can put it aside themselves (toolchain/env.py).
unexport $(filter PYTHON% BASH_% GREP_% GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE,$(.VARIABLES)) ENV CDPATH
export PYTHONPYCACHEPREFIX := $(CURDIR)/.tinderbox/compiled
export PYTHONUTF8 := 1

python := .venv/bin/python
console = $(python) -m console

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help tools up destroy sweep preview rehearse stop start backup restore status ui connect notebook opex opex-forward outputs settings usage bill prices why logs submit apps run image jars lint test e2e e2e-long conformance torture bench vm

help: ## what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

tools: ## Pulumi, helm, kubectl and the Python environment: found, downloaded or built
	@python3 -m toolchain tools

up: tools ## from nothing to a word count (STACK=local INPUT=a file or a folder; REFRESH=1 looks what is gone)
	@$(console) up --stack="$$STACK" --input="$$INPUT"$(if $(REFRESH), --refresh)

preview: tools ## what an update would change
	@$(console) preview --stack="$$STACK"

rehearse: tools ## plays the change of a stack's settings on the local cloud first, with its report
	@$(console) rehearse --stack="$$STACK"

destroy: tools ## takes the stack away, and with it its machines
	@$(console) destroy --stack="$$STACK"

sweep: tools ## what a killed update left at AWS, unknown to the state, goes, after asking (YES=1: without)
	@$(console) sweep --stack="$$STACK"$(if $(YES), --yes)

stop: tools ## stops the stack's nodes, and says what an hour costs then
	@$(console) stop --stack="$$STACK"

start: tools ## starts them again, until the cluster and Spark are well
	@$(console) start --stack="$$STACK"

backup: tools ## a snapshot of the control plane, on the shared volume
	@$(console) backup --stack="$$STACK"

restore: tools ## SNAPSHOT=its name brings that state back, after asking (YES=1: without); else lists them
	@$(console) restore --stack="$$STACK" --snapshot="$$SNAPSHOT"$(if $(YES), --yes)

status: tools ## machines, nodes, pods, Spark, the last result
	@$(console) status --stack="$$STACK"

ui: tools ## forwards the web pages (Spark, history, drivers, costs) to this machine
	@$(console) ui --stack="$$STACK"

connect: tools ## forwards Spark Connect (spark.connect: true): its address with the token, and the Python
	@$(console) connect --stack="$$STACK"

notebook: tools ## JupyterLab on this machine, with the stack's Spark behind it
	@$(console) notebook --stack="$$STACK"

opex: tools ## CPU, memory and cost by namespace; waits for the first data
	@$(console) opex --stack="$$STACK"

opex-forward: tools ## a port of this machine to the cost analytics' own page
	@$(console) opex-forward --stack="$$STACK"

outputs: ## the stack's outputs as JSON
	@python3 -m toolchain tools >&2
	@$(console) outputs --stack="$$STACK"

settings: tools ## the stack's settings, and where each comes from
	@$(console) settings --stack="$$STACK"

submit: ## one application: APP=spark_jobs/pi.py ARGS=100 OPTIONS="--master kubernetes"
	@python3 -m toolchain tools >&2
	@$(console) submit --stack="$$STACK" --options="$$OPTIONS" --arguments="$$ARGS" -- "$$APP"

apps: tools ## the stack's applications: state, last and next run, result
	@$(console) apps --stack="$$STACK"

run: ## one of them, now: NAME=its name
	@python3 -m toolchain tools >&2
	@$(console) run --stack="$$STACK" -- "$$NAME"

image: tools ## an image of your own (NAME= CONTEXT=a folder; REGISTRY=docker.io/me, else the local cloud's)
	@$(console) image --registry="$$REGISTRY" -- "$$NAME" "$$CONTEXT"

jars: tools ## Java packages in .tinderbox/jars (NAME=s3, or any name and PACKAGES=GROUP:ARTIFACT:VERSION)
	@python3 -m toolchain jars --packages="$$PACKAGES" -- "$${NAME:-s3}"

usage: tools ## what the last application on Spark used, with a picture (RUN=another one's id)
	@$(console) usage --stack="$$STACK" --run="$$RUN"

bill: tools ## what applications cost, and what was idle (FROM=2026-11-01 TO= BY=namespace|name|user|label:team)
	@$(console) bill --stack="$$STACK" --from="$$FROM" --to="$$TO" --by="$$BY"

prices: tools ## asks AWS what instances cost in the stack's region, and says what changed
	@$(console) prices --stack="$$STACK"

why: tools ## why the last application failed, on one screen (RUN=its application, pod or Job)
	@$(console) why --stack="$$STACK" --run="$$RUN"

logs: ## the log of an application's driver, also when its pods are gone (RUN=)
	@python3 -m toolchain tools >&2
	@$(console) logs --stack="$$STACK" --run="$$RUN"

lint: tools ## ruff, types, shellcheck, actionlint, helm lint
	@./toolchain/lint.sh

# A file of tests goes to one process, the longest first (tests/conftest.py); more processes than
# there are cores, since many only wait for others.
parallel = --dist=loadfile --no-loadscope-reorder --numprocesses=5
test: tools ## lint, and all tests that need no cloud
	@$(python) -m tests.jvm
	@$(python) -m pytest $(parallel) --durations=10 tests/charts tests/jobs tests/engine tests/unit

# The first makes clusters of its own, so it comes before the stack that the others share.
long := $(addprefix tests/e2e/test_,82_releases.py 37_why.py 45_connect.py 65_operations.py 68_examples.py \
	71_groups.py 72_rolling.py 79_stop_spot.py 80_upgrade.py 83_spark_versions.py 85_certificates.py 87_ha.py \
	88_changes.py 89_control_planes.py 92_rehearse.py)
e2e: tools ## the whole chain on the local cloud, and nothing left of it (root)
	@$(python) -m pytest --durations=10 tests/cloud tests/e2e $(long:%=--ignore=%)

e2e-long: tools ## what takes too long for each change: other releases, groups, failures, Spark Connect (root)
	@$(python) -m pytest $(long)

conformance: tools ## Kubernetes' own tests on the local stack that is up; writes docs/conformance.md (root)
	@$(python) -m tests.conformance

torture: tools ## faults made to happen on the local cloud; writes docs/faults.md (root)
	@rm -f .tinderbox/faults.seen.json
	@$(python) -m pytest tests/torture
	@$(python) -m tests.faults

bench: tools ## the word count beside other engines; writes docs/performance.md
	@$(python) -m bench

vm: tools ## the quick start on Debian in an emulated machine, an hour or two (root; DEBIAN=bookworm)
	@$(python) -m tests.vm $(if $(DEBIAN),-- "$$DEBIAN")
