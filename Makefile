# Everything runs in a virtual environment of its own, which every target sets up when it is missing or old.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
ACTIVATE := . $(VENV)/bin/activate &&
STUDY ?=

.PHONY: reproduce setup test stress test-label-studio mine report lint format bench lock clean

reproduce: $(READY)  ## run the default study; STUDY=config/quick.yaml runs another one
	$(ACTIVATE) snakemake $(if $(STUDY),--configfile $(STUDY))

setup: $(READY)  ## only set up the environment

test: $(READY)  ## run the tests
	$(ACTIVATE) pytest -n auto --dist loadgroup

test-label-studio: $(READY)  ## a real Label Studio from PyPI on loopback, in an environment of its own
	test -x .label-studio/bin/label-studio || $(PYTHON) -m venv --clear .label-studio
	.label-studio/bin/pip install --quiet label-studio
	$(ACTIVATE) python tests/tools/label_studio.py .label-studio/bin/label-studio

stress: $(READY)  ## mining again, through 200 seeds of faults for each source and 50 of kills
	$(ACTIVATE) FAULT_SEEDS=200 KILL_SEEDS=50 pytest -n auto tests/mining/test_faults.py

mine: $(READY)  ## fetch the threads that config.yaml asks for, and screen them; ANONYMOUS=1 goes on without tokens
	$(ACTIVATE) attention-faults mine $(if $(STUDY),--config $(STUDY)) $(if $(ANONYMOUS),--anonymous)
	$(ACTIVATE) snakemake mine $(if $(STUDY),--configfile $(STUDY))

report: $(READY)  ## render results/<dataset>/report.html again
	$(ACTIVATE) snakemake reports --forcerun render_report $(if $(STUDY),--configfile $(STUDY))

lint: $(READY)  ## check style, types and workflow
	$(ACTIVATE) ruff check
	$(ACTIVATE) ruff format --check
	$(ACTIVATE) mypy
	$(ACTIVATE) snakefmt --check Snakefile workflow
	$(ACTIVATE) snakemake --lint

format: $(READY)
	$(ACTIVATE) ruff format
	$(ACTIVATE) ruff check --fix
	$(ACTIVATE) snakefmt Snakefile workflow

bench: $(READY)  ## a million synthetic records through the taxonomy study
	$(ACTIVATE) python benchmarks/scale.py

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --editable .
	touch $@

lock:  ## pin the newest versions that pyproject.toml admits, for pip and for conda
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet torch==2.13.0
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	# a local version such as 2.13.0+cpu is in no registry
	$(VENV)/bin/pip freeze --exclude-editable | sed 's/+.*//' > requirements.lock
	printf '%s\n' 'name: attention-faults' 'channels: [conda-forge]' 'dependencies:' '  - python=3.11' '  - pip' '  - pip:' > environment.yml
	sed 's/^/      - /' requirements.lock >> environment.yml
	touch $(READY)

clean:
	rm -rf results .snakemake
