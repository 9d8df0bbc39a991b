# Needs: Python 3.11 or later with its venv module, and make. Everything else is installed into .venv.
#
#   make demo          audit a real network on a real scan, and re-check the certificate
#   make test          ruff, mypy, the smallest study and the tests
#   make lint          ruff and mypy alone
#   make conformance   the ONNX standard's own node tests, counted
#   make kernels       compile the loops of the sweep, which takes a minute, ahead of their first use
#   make bench          compare with si4onnx, in an environment of its own (.venv-bench)
#   make exact-vs-approximate   networks built so that float tools fail, in the same environment
#   make laws-against-sicore    p-values of thousands of random truncation sets, in the same environment
#   make peers          compare explanations with captum, zennit and shap, in an environment of its own
#   make explain-benchmark   their speed and memory on four large networks, in the same environment
#   make coverage       ten thousand audits under each law: levels, intervals, estimates
#   make study          compare methods over thousands of draws, for about an hour; make calibration the null alone
#   make clean          remove what the other targets made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := sureline symbolic verifier inference
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# BLAS threads gain nothing on matrices of this size and fight with parallel tests.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test lint kernels conformance bench peers explain-benchmark exact-vs-approximate laws-against-sicore study calibration \
  coverage clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/python examples/scanner_retest/audit.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

conformance: $(VENV)/.test
	$(BIN)/python tests/conformance.py

# lint takes one core: beside it the loops of the sweep are compiled, which every test process would do by itself.
test: $(VENV)/.test
	@$(MAKE) --no-print-directory -j2 lint kernels
	@$(MAKE) --no-print-directory conformance
	@rm -rf $(VENV)/study
	$(BIN)/sureline study benchmarks/study/smallest.toml --out $(VENV)/study --processes 2 > $(VENV)/study.txt; \
	  code=$$?; tail -n 2 $(VENV)/study.txt; exit $$code
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

kernels: $(VENV)/.test
	$(BIN)/python tests/compile_kernels.py

study: $(VENV)/.test
	$(BIN)/sureline study benchmarks/study/hour.toml --out study --processes 2

calibration: $(VENV)/.test
	$(BIN)/python benchmarks/calibration.py

bench: $(VENV)-bench/.bench
	$(VENV)-bench/bin/python benchmarks/compare_si4onnx.py

exact-vs-approximate: $(VENV)-bench/.autosi
	$(VENV)-bench/bin/python benchmarks/exact_vs_approximate.py --docs docs/exact-vs-approximate.md \
	  --picture docs/pictures/exact_vs_approximate.png

laws-against-sicore: $(VENV)-bench/.autosi $(VENV)/.test
	$(BIN)/python benchmarks/laws_against_sicore.py --sicore-python $(VENV)-bench/bin/python \
	  --docs docs/laws-against-sicore.md

peers: $(VENV)-peers/.peers
	$(VENV)-peers/bin/python -m pytest -q -p no:cacheprovider tests/peers

explain-benchmark: $(VENV)-peers/.peers
	$(VENV)-peers/bin/python benchmarks/explain/compare.py --docs benchmarks/README.md

coverage: $(VENV)/.test
	$(BIN)/python benchmarks/interval_coverage.py --docs benchmarks/README.md --picture benchmarks/data/coverage.png

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment serves demo and test. A stamp file says what it holds, so that nothing is installed twice.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP_INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP_INSTALL) -e '.[demo,examples,test]'
	@touch $@ $(VENV)/.demo

# The peer needs numpy < 2 and torch, hence the second environment. A single pip command keeps torch from being
# replaced; BENCH_PIP_FLAGS can name a source of CPU-only torch wheels. The torch with GPU libraries is refused:
# it is several gigabytes, and the comparison is of one CPU thread with another.
$(VENV)-bench/.bench: pyproject.toml | $(VENV)-bench/bin/python
	$(VENV)-bench/bin/python $(PIP_INSTALL) $(BENCH_PIP_FLAGS) torch==2.13.0 si4onnx==0.1.13 onnxscript -e .
	@if $(VENV)-bench/bin/python -m pip list --disable-pip-version-check 2>/dev/null | grep -qi '^nvidia'; then \
	  echo "make bench: torch was installed with GPU libraries; set BENCH_PIP_FLAGS to a source of CPU-only wheels, run make clean and try again." >&2; \
	  exit 1; fi
	@touch $@

$(VENV)-peers/.peers: pyproject.toml | $(VENV)-peers/bin/python
	$(VENV)-peers/bin/python $(PIP_INSTALL) $(BENCH_PIP_FLAGS) torch==2.13.0 captum==0.9.0 zennit shap==0.51.0 \
	  pytorchcv \
	  hypothesis pytest -e .
	@if $(VENV)-peers/bin/python -m pip list --disable-pip-version-check 2>/dev/null | grep -qi '^nvidia'; then \
	  echo "make peers: torch was installed with GPU libraries; set BENCH_PIP_FLAGS to a source of CPU-only wheels, run make clean and try again." >&2; \
	  exit 1; fi
	@touch $@

$(VENV)-bench/.autosi: $(VENV)-bench/.bench
	$(VENV)-bench/bin/python $(PIP_INSTALL) autosi==0.1.0 sicore==3.0.0 z3-solver
	@touch $@

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Sureline needs Python 3.11 or later; name one with: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "This Python cannot create virtual environments; on Debian install the package python3-venv and try again." >&2; exit 1; }
	$(PYTHON) -m venv $*
