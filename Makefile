# The ways in. `make` alone lists them.
PROFILE ?= demo

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
PROFILES := demo $(patsubst profiles/%/dvc.yaml,%,$(wildcard profiles/*/dvc.yaml))
PIPELINE := $(if $(filter demo,$(PROFILE)),dvc.yaml,profiles/$(PROFILE)/dvc.yaml)

ifeq ($(filter $(PROFILES),$(PROFILE)),)
$(error there is no profile "$(PROFILE)"; choose PROFILE= one of: $(PROFILES))
endif

# This tree's package and this environment's kernel, whatever else is installed.
export PYTHONPATH := $(CURDIR)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export JUPYTER_PREFER_ENV_PATH := 1
# Spinning OpenMP threads halve the speed of two trainings side by side.
export OMP_WAIT_POLICY := PASSIVE
export DVC_NO_ANALYTICS := 1
# Figures carry no date, so that the same numbers give the same bytes.
export SOURCE_DATE_EPOCH := 0

.DEFAULT_GOAL := help
.PHONY: help install repro report lab lint test strip outputs lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s%s\n", $$1, $$2}' Makefile
	@echo "PROFILE is one of: $(PROFILES) (now $(PROFILE))"

install: $(INSTALLED) ## make .venv and install what is missing

repro: $(INSTALLED) ## run the study: every stage that is not up to date
	@$(PYTHON) -m study.ready $(PROFILE)
	@$(PYTHON) -m dvc repro $(PIPELINE)
	@echo "Report: reports/$(PROFILE)/index.html"

report: $(INSTALLED) ## re-make tables, figures and page from the committed records
	@$(PYTHON) -m study report --profile $(PROFILE)
	@echo "Report: reports/$(PROFILE)/index.html"

lab: $(INSTALLED) ## open JupyterLab on the notebooks' table of contents
	$(PYTHON) -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) \
		--LabApp.default_url=/lab/tree/index.ipynb notebooks

lint: $(INSTALLED) ## check the style
	$(PYTHON) -m ruff check .

test: lint ## all that CI runs: style, a tiny study from end to end, unit tests, notebooks
	$(MAKE) --no-print-directory repro PROFILE=tiny
	$(PYTHON) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=120 \
		--nbval-sanitize-with=tests/sanitize.cfg tests notebooks

strip: $(INSTALLED) ## before a commit: strip the notebooks' outputs, renew their contents
	$(PYTHON) -m study.notebook strip notebooks/*.ipynb
	$(PYTHON) -m study contents

outputs: $(INSTALLED) ## store anew the notebook outputs that `make test` compares
	$(PYTHON) -m nbconvert --log-level=WARN --to notebook --execute --inplace notebooks/*.ipynb
	$(PYTHON) -m study.notebook strip notebooks/*.ipynb

# Without hashes, local versions and addresses: the same lock serves every registry and machine.
lock: $(INSTALLED) ## lock the versions of requirements.in anew
	$(PYTHON) -m uv tool run --python $(PYTHON) --from pip-tools pip-compile --quiet \
		--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--strip-extras --annotation-style=line -o requirements.lock requirements.in
	sed -i -e 's/+cpu//' -e 's/via -r /via /' -e '/^#/d' -e '/^$$/d' requirements.lock

$(PYTHON):
	@for python in python3.11 python3 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$(command -v $$python)"; \
			$$python -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
			exit 0; \
		fi; \
	done; \
	echo "Python 3.11 is needed: neither python3.11, python3 nor python is one." >&2; \
	echo "python3 here is: $$(python3 --version 2>&1)" >&2; \
	exit 1

# torch comes by pip, which takes a CPU build where one is at hand; uv would fetch the CUDA build.
# uv installs the rest in half the time; where it cannot, pip does.
$(INSTALLED): requirements.lock pyproject.toml | $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c requirements.lock torch
	$(PYTHON) -m pip install --quiet --disable-pip-version-check uv && \
		$(PYTHON) -m uv pip install --quiet --python $(PYTHON) --compile-bytecode \
			-r requirements.lock -e . || \
		$(PYTHON) -m pip install --disable-pip-version-check -r requirements.lock -e .
	@touch $@
