# One word for each thing people do; the work is in local/ (the stack and the demo) and in plugins/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo up down env status clean setup test bench lint format lock approve reject images deploy destroy

export PYTHONPATH := $(CURDIR)/plugins:$(CURDIR)/snakemake_workflows:$(CURDIR)
PY := .local/venv/bin/python
SEQHARVEST = . <($(PY) -m local.stack env) && $(PY)

help:    ## show this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 12

demo: setup  ## run the whole chain here; APPROVE=yes approves without asking; SERIES=<folder> [REFERENCE=<folder>] runs yours
	@$(PY) -u -m local.demo $(if $(SERIES),--series "$(SERIES)") $(if $(REFERENCE),--reference "$(REFERENCE)") $(if $(filter drop,$(UNKNOWN_CONTIGS)),--drop-unknown-contigs) $(if $(filter yes,$(APPROVE)),--approve)

up: setup    ## start the local stack
	@$(PY) -m local.stack up

down:    ## stop the local stack; its state stays
	@if [ -x $(PY) ]; then $(PY) -m local.stack down; else echo "nothing to stop: no environment in .local/"; fi

env:
	@$(PY) -m local.stack env

status:  ## show each part of the local stack
	@if [ -x $(PY) ]; then $(PY) -m local.stack status; else echo "not set up: run 'make demo' or 'make up'"; fi

clean: down  ## remove everything that was made here (.local/ and caches; Debian packages stay)
	@rm -rf .local .pytest_cache .mypy_cache .ruff_cache .hypothesis .snakemake
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "removed .local/ and caches; Debian packages that were installed stay"

setup:
	@local/setup.sh

approve: ## approve a project's QC: make approve PROJECT=GSE… [BY=name] [COMMENT=…] [EXCLUDE=S1,S2]
	@$(SEQHARVEST) -m seqharvest.registry approve "$(PROJECT)" --by "$(or $(BY),$(USER),$(LOGNAME),unknown)" $(if $(COMMENT),--comment "$(COMMENT)") $(if $(EXCLUDE),--exclude "$(EXCLUDE)")

reject:  ## reject a project's QC: make reject PROJECT=GSE… [BY=name] [COMMENT=…]
	@$(SEQHARVEST) -m seqharvest.registry reject "$(PROJECT)" --by "$(or $(BY),$(USER),$(LOGNAME),unknown)" $(if $(COMMENT),--comment "$(COMMENT)")

images:  ## build the images and look into them: make images [BASE=debian@sha256:…] [TAG=…]; log in .local/images
	@BASE="$(BASE)" TAG="$(TAG)" docker/build.sh

deploy: setup ## make deploy STACK=… TAG=<image tag> [DRY_RUN=yes] [REGION=…] [PARAMETERS="Key=value …"] [ONLY=data,images]
	@test -n "$(STACK)" || { echo "which deployment? → make deploy STACK=seqharvest TAG=… [DRY_RUN=yes]"; exit 2; }
	@$(PY) -m infra.deploy deploy "$(STACK)" $(if $(TAG),--tag "$(TAG)") $(if $(REGION),--region "$(REGION)") $(if $(PARAMETERS),--parameters "$(PARAMETERS)") $(if $(ONLY),--only "$(ONLY)") $(if $(filter yes,$(DRY_RUN)),--dry-run)

destroy: setup ## make destroy STACK=… [DELETE_DATA=<the same name>]; without it, data, images and logs stay
	@test -n "$(STACK)" || { echo "which deployment? → make destroy STACK=…"; exit 2; }
	@$(PY) -m infra.deploy destroy "$(STACK)" $(if $(REGION),--region "$(REGION)") $(if $(DELETE_DATA),--delete-data "$(DELETE_DATA)")

test: setup  ## unit, DAG and end-to-end tests
	@local/setup.sh infra
	@$(PY) -m pytest -n 2 --dist loadfile
	@$(PY) -m pytest -m e2e -s

bench: setup ## benchmarks with their peers: make bench [ONLY="listing …"] [KEEP=yes]; knobs in docs/benchmarks.md
	@local/setup.sh bench
	@$(PY) -m bench $(ONLY) $(if $(filter yes,$(KEEP)),--keep)

lint: setup  ## ruff, mypy, snakefmt, snakemake --lint
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.local/venv/bin/snakefmt --check snakemake_workflows
	@bash -n local/setup.sh .ci/run && bash -n docker/build.sh && bash -n docker/check.sh
	@local/setup.sh infra && .local/infra/bin/cfn-lint -r us-east-1 eu-central-1 -- infra/*.yaml

format:  ## format Python and Snakemake code
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format . ; .local/venv/bin/snakefmt snakemake_workflows

lock:    ## resolve the requirements anew
	@uv pip compile -q --no-header --python-version 3.11 requirements.in -o requirements.txt
	@uv pip compile -q --no-header --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	@uv pip compile -q --no-header --python-version 3.11 local/requirements.in -o local/requirements.txt
	@uv pip compile -q --no-header --python-version 3.11 infra/requirements.in -o infra/requirements.txt
	@uv pip compile -q --no-header --python-version 3.11 bench/requirements.in -o bench/requirements.txt
