# make demo     train a pronunciation model in about three minutes, and look at what it does
# make check    what CI runs: lint, types, test
# make bench    weft beside its peers: speed, memory, start-up (some twelve minutes; QUICK=1: does it run?)
# make profile  where the time of a training and of a decoding step goes
# make product  the contract over every combination of parts (some four minutes)
#
# The first target makes .venv, once. With another Python: make demo PYTHON=python3.12; in an environment
# that has everything already: make test PY=python. On Linux, PyPI's torch is the large CUDA build; for the small one:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

PYTHON ?= python3
WORKERS ?= 2
ifdef PY
INSTALLED :=
else
PY := .venv/bin/python
INSTALLED := .venv/.installed
endif
CACHES := $(if $(INSTALLED),.venv/caches,$(or $(TMPDIR),/tmp)/weft-caches)

export PYTHONDONTWRITEBYTECODE := 1
export RUFF_CACHE_DIR := $(CACHES)/ruff
export MYPY_CACHE_DIR := $(CACHES)/mypy
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHES)/hypothesis

.PHONY: demo test product bench profile lint types check clean

demo: $(INSTALLED)
	@$(PY) demo/pronounce.py

test: $(INSTALLED)
	@$(PY) -m pytest $$($(PY) -c 'import xdist' 2>/dev/null && printf -- '-n %s' $(WORKERS))

product: $(INSTALLED)
	@WEFT_WHOLE_PRODUCT=1 $(PY) -m pytest tests/models/test_product.py

bench: $(INSTALLED)
	@$(PY) -m benchmarks.bench $(if $(QUICK),--quick) $(ARGS)

profile: $(INSTALLED)
	@$(PY) -m benchmarks.breakdown $(if $(QUICK),--quick) $(ARGS)

lint: $(INSTALLED)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --exclude '*.md' .

types: $(INSTALLED)
	@$(PY) -m mypy

check: lint types test

# torch goes first, so that nothing that needs it chooses another build of it
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"weft needs Python 3.11 or newer; \
	$(PYTHON) is {sys.version.split()[0]}. Name another: make PYTHON=python3.12")'
	@echo "installing into .venv (once)"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist src/weft.egg-info .hypothesis .mypy_cache .ruff_cache
	find demo src tests -name __pycache__ -type d -prune -exec rm -rf {} +
