# Every target does its own set-up on a fresh Debian 12 with Python 3.11 and make, and repeats in seconds.
# As root, missing Debian packages are installed; otherwise they are named.
#   make demo       install as a user would, and segment the sample images
#   make test       all tests; make test-fast: those that need under a minute together
#   make browser    the tests of `make test` that run the page in Chromium (BROWSER_ARGS='jobs -t zip')
#   make lint       style, layering, documents; make types: mypy
#   make web        build the web page (needs node); make web-api: renew the types of the API that it asks
#   make bench      measure against other tools; make soak: the long-running tests
#   make bench-large [BENCH_LARGE_ARGS='--minutes 30 --scratch FOLDER']   100 000 x 100 000 px, and 10 000 images
#   make images     build the container images; make bench-images: build and try them on a base of its own (as root)
#   make requirements [UPGRADE=--upgrade]   make the hashed lists from requirements/*.in and pyproject.toml

PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
KIOSK_VENV ?= .venv-kiosk
TRITON ?= .triton
DEMO_RESULTS ?= demo-results
PYTEST_ARGS ?=
BROWSER_ARGS ?=
BENCH_ARGS ?=
BENCH_LARGE_ARGS ?=
BENCH_IMAGES_ARGS ?=
SOAK_ARGS ?=
BIN = $(VENV)/bin
PIP = python -m pip --disable-pip-version-check --quiet
HASHED = --require-hashes --no-deps --only-binary :all:

NATIVE = setup.py $(wildcard native/*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help web web-api browser demo test test-fast lint types bench bench-large soak images bench-images requirements clean

help:
	@sed -n 's/^#   //p' Makefile

# --- set-up, remembered by stamp files ---------------------------------------------------------------------------

$(VENV)/.made: scripts/system_setup.sh
	bash scripts/system_setup.sh $(PYTHON) build
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.dev: $(VENV)/.made requirements/dev.txt requirements/nodeps.txt
	$(BIN)/$(PIP) install $(HASHED) -r requirements/dev.txt
	$(BIN)/$(PIP) install $(HASHED) -r requirements/nodeps.txt
	touch $@

$(VENV)/.package: $(VENV)/.dev pyproject.toml $(NATIVE)
	$(BIN)/$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.torch: $(VENV)/.dev requirements/torch.txt
	$(BIN)/$(PIP) install -r requirements/torch.txt
	touch $@

$(VENV)/.java: $(VENV)/.made scripts/system_setup.sh
	bash scripts/system_setup.sh $(PYTHON) test
	touch $@

# The original's client, unchanged, with libraries that nothing of ours may meet. It comes as source only.
$(KIOSK_VENV)/.made: $(VENV)/.made requirements/build.txt requirements/kiosk.txt
	$(PYTHON) -m venv $(KIOSK_VENV)
	$(KIOSK_VENV)/bin/$(PIP) install $(HASHED) -r requirements/build.txt
	$(KIOSK_VENV)/bin/$(PIP) install $(HASHED) --no-build-isolation --no-binary kiosk-client -r requirements/kiosk.txt
	touch $@

# The real Triton server. Its wheel asks for old libraries, which it does not need for serving: no dependencies.
$(TRITON)/.made: $(VENV)/.made requirements/triton.txt
	$(BIN)/$(PIP) install $(HASHED) --target $(TRITON) --upgrade -r requirements/triton.txt
	touch $@

web/node_modules/.made: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error
	touch $@

PAGE = src/cellfleet/service/page/index.html
$(PAGE): web/node_modules/.made web/package.json web/index.html web/vite.config.ts web/tsconfig.json $(shell find web/src web/public -type f 2>/dev/null)
	cd web && npm run --silent build
	touch $@

# --- for users ---------------------------------------------------------------------------------------------------

demo:
	@PYTHON="$(PYTHON)" bash scripts/demo.sh $(DEMO_VENV) $(DEMO_RESULTS)

# --- for developers ----------------------------------------------------------------------------------------------

lint: $(VENV)/.dev web/node_modules/.made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/check_layers.py
	$(BIN)/python scripts/check_sizes.py
	cd web && npm run --silent lint

# The web page, which the package carries; and the types of the API that it asks.
web: $(PAGE)

web-api: $(VENV)/.package web/node_modules/.made
	$(BIN)/python scripts/openapi.py > web/openapi.json
	cd web && npm run --silent api

types: $(VENV)/.package $(VENV)/.torch
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini tests benchmarks

test: $(VENV)/.package $(VENV)/.torch $(VENV)/.java $(KIOSK_VENV)/.made $(TRITON)/.made $(PAGE)
	cd web && npm run --silent test
	cd web && CELLFLEET=$(abspath $(BIN))/cellfleet npm run --silent browser
	CELLFLEET_TRITON=$(abspath $(TRITON)) CELLFLEET_KIOSK_CLIENT=$(abspath $(KIOSK_VENV))/bin/python $(BIN)/python -m pytest $(PYTEST_ARGS)

# The page in a real browser, against a service of this checkout; a part of `make test`.
browser: $(VENV)/.package $(VENV)/.torch $(VENV)/.java $(PAGE)
	cd web && CELLFLEET=$(abspath $(BIN))/cellfleet npm run --silent browser -- $(BROWSER_ARGS)

test-fast: $(VENV)/.package $(VENV)/.torch
	$(BIN)/python -m pytest -m "not slow" tests/unit tests/contract $(PYTEST_ARGS)

bench: $(VENV)/.package
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

bench-large: $(VENV)/.package
	$(BIN)/python -m benchmarks.counts.run --large
	$(BIN)/python -m benchmarks.large.run $(BENCH_LARGE_ARGS)
	$(BIN)/python -m benchmarks.run --only

# Both container images, from the last commit: see scripts/images.sh.
images:
	bash scripts/images.sh

bench-images: $(VENV)/.package
	$(BIN)/python -m benchmarks.images.run $(BENCH_IMAGES_ARGS)

soak: $(VENV)/.package
	$(BIN)/python benchmarks/soak.py $(SOAK_ARGS)
	$(BIN)/python -m pytest tests/integration/test_ledger_faults.py tests/integration/test_service_faults.py --seeds 20

clean:
	rm -rf build dist src/*.egg-info src/cellfleet/*.so .mypy_cache .ruff_cache .hypothesis $(DEMO_VENV) $(DEMO_RESULTS) web/node_modules src/cellfleet/service/page
	rm -f $(VENV)/.package

# uv resolves for every platform and Python at once and writes the hashes of all their files.
UV_VERSION = 0.13.9
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links -c requirements/limits.in --custom-compile-command "make requirements" $(UPGRADE)

# The lists of the images are for one platform. Two libraries name what they only were built with; what the image for
# GPUs has from the other one is not in its list.
COMPILE_IMAGE = $(subst --universal,--python-platform x86_64-manylinux_2_28,$(COMPILE))
IMAGE_EXTRAS = server cluster triton readers
IMAGE_WITHOUT = cmake setuptools
GPU_WITHOUT = flatbuffers numpy packaging protobuf

requirements:
	test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/$(PIP) install uv==$(UV_VERSION); }
	$(COMPILE) pyproject.toml -o requirements/run.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml requirements/build.in requirements/dev.in -c requirements/run.txt -c requirements/build.txt -o requirements/dev.txt
	$(COMPILE) --no-deps requirements/nodeps.in -o requirements/nodeps.txt
	$(COMPILE) requirements/kiosk.in -o requirements/kiosk.txt
	$(COMPILE) --no-deps requirements/triton.in -o requirements/triton.txt
	$(COMPILE_IMAGE) pyproject.toml $(IMAGE_EXTRAS:%=--extra %) -c requirements/dev.txt $(IMAGE_WITHOUT:%=--no-emit-package %) -o requirements/image.txt
	$(COMPILE_IMAGE) requirements/image-gpu.in -c requirements/image.txt $(GPU_WITHOUT:%=--no-emit-package %) -o requirements/image-gpu.txt
