# make up, make test: everything else is in the README.
STACK ?= local
INPUT ?=
APP ?= spark_jobs/pi.py
ARGS ?=
OPTIONS ?=
RUN ?=
export PYTHONDONTWRITEBYTECODE := 1

python := .venv/bin/python
console = $(python) -m console --stack $(STACK)

.DEFAULT_GOAL := help
.PHONY: help tools up destroy preview status ui opex opex-forward outputs settings usage submit image jars lint test e2e vm

help: ## what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

tools: ## Pulumi, helm, kubectl and the Python environment: found, downloaded or built
	@python3 -m toolchain tools

up: tools ## from nothing to a word count (STACK=local INPUT=a file or a folder)
	@$(console) up $(if $(INPUT),--input '$(INPUT)')

preview: tools ## what an update would change
	@$(console) preview

destroy: tools ## takes the stack away, and with it its machines
	@$(console) destroy

status: tools ## machines, nodes, pods, Spark, the last result
	@$(console) status

ui: tools ## forwards the web pages (Spark, history, drivers, costs) to this machine
	@$(console) ui

opex: tools ## CPU, memory and cost by namespace; waits for the first data
	@$(console) opex

opex-forward: tools ## a port of this machine to the cost analytics' own page
	@$(console) opex-forward

outputs: ## the stack's outputs as JSON
	@python3 -m toolchain tools >&2
	@$(console) outputs

settings: tools ## the stack's settings, and where each comes from
	@$(console) settings

submit: ## one application: APP=spark_jobs/pi.py ARGS=100 OPTIONS="--master kubernetes"
	@python3 -m toolchain tools >&2
	@$(python) -m console.submit --stack $(STACK) $(OPTIONS) '$(APP)' $(ARGS)

image: tools ## an image of your own (NAME= CONTEXT=a folder; REGISTRY=docker.io/me, else the local cloud's)
	@$(python) -m console.image '$(NAME)' '$(CONTEXT)' $(if $(REGISTRY),--registry '$(REGISTRY)')

jars: tools ## Java packages in .tinderbox/jars (NAME=s3, or any name and PACKAGES=GROUP:ARTIFACT:VERSION)
	@python3 -m toolchain jars '$(or $(NAME),s3)' $(if $(PACKAGES),--packages '$(PACKAGES)')

usage: tools ## what the last application on Spark used, with a picture (RUN=another one's id)
	@$(console) usage $(if $(RUN),--run '$(RUN)')

lint: tools ## ruff, types, shellcheck, actionlint, helm lint
	@./toolchain/lint.sh

test: tools lint ## all tests that need no cloud
	@$(python) -m pytest tests/unit tests/jobs tests/charts tests/engine

e2e: tools ## the whole chain on the local cloud, and nothing left of it (root)
	@$(python) -m pytest tests/cloud tests/e2e

vm: tools ## the quick start on Debian in an emulated machine, an hour or two (root; DEBIAN=bookworm)
	@$(python) -m tests.vm $(DEBIAN)
