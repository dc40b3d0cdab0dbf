# `make demo` and `make test` need Python >= 3.11 and nothing else. They make two environments:
#   .venv                 the built wheel, and every tool that a developer needs
#   .venv-tflite-runtime  the built wheel with LiteRT's ancestor and numpy 1, as on old systems
# Both are kept current by scripts/environment.py: after an edit, just run make again.

# Choices, as in: make test-wheel ARGS="tests/test_packets.py -k truncated"
#   ARGS       more arguments for pytest, the fuzzer or the evaluation
#   WORKERS    pytest processes for the tests that need no broker
#   WAITERS    the same for tests that mostly wait for a broker
#   EVENINGS   the same for those that hold us to seconds; 1 is steadier on a busy machine
#   PYTHON     the Python to use, PYTHON311 the one for tflite-runtime; else they are looked for
#   PYTHON_HOMEASSISTANT  of 3.13 or 3.11, which decides the version of Home Assistant
WORKERS ?= 2
WAITERS ?= 4
EVENINGS ?= 2

# Two BLAS threads on a busy machine are many times slower than one.
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
# What is tested is the installed wheel, never the source tree.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test check programs test-wheel test-long test-tflite-runtime test-homeassistant \
	bench evaluate fuzz lab format clean venv venv-tflite-runtime

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' Makefile

demo: venv ## a broker, a home and five attacks, live
	.venv/bin/mqtt-ids demo

test: check test-wheel test-tflite-runtime ## everything that CI runs

check: venv ## lint, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# With ARGS one run; without, those that need no broker go side by side, so do those that mostly wait
# for one, then the live ones, two at a time, and last those that compare moments.
test-wheel: export MQTT_IDS_RUNTIME = ai-edge-litert
test-wheel: venv programs ## the tests, on the built wheel
ifeq ($(strip $(ARGS)),)
	.venv/bin/pytest -n $(WORKERS) -m "not broker"
	.venv/bin/pytest -n $(WAITERS) --dist loadfile -m patient
	.venv/bin/pytest -n $(EVENINGS) --dist loadfile -m "broker and not (patient or long or alone)"
	.venv/bin/pytest -m alone
else
	.venv/bin/pytest $(ARGS)
endif

programs: ## the brokers and tools that tests talk to, from Debian's packages
	@$(or $(PYTHON),python3) scripts/programs.py

test-tflite-runtime: venv-tflite-runtime ## the demo and the model's tests, under tflite-runtime
	@if [ -e .venv-tflite-runtime/made-of ]; then set -ex; \
		.venv-tflite-runtime/bin/mqtt-ids demo; \
		MQTT_IDS_RUNTIME=tflite-runtime .venv-tflite-runtime/bin/pytest -m runtime; \
	fi

test-long: venv programs ## the live evenings that make test leaves out
	.venv/bin/pytest -m long $(ARGS)

# Its own environment, 500 MB; pip would take many times longer than uv.
test-homeassistant: venv programs .venv-homeassistant/made-of ## our device in a real Home Assistant
	MQTT_IDS_HOMEASSISTANT=$(CURDIR)/.venv-homeassistant/bin/python \
		.venv/bin/pytest -m homeassistant $(ARGS)

.venv-homeassistant/made-of: tests/homeassistant/requirements.txt
	python=$$(export PYTHON=$(PYTHON_HOMEASSISTANT); scripts/find-python 3.13 3.13 2>/dev/null || \
		scripts/find-python 3.11 3.11) && "$$python" -m venv --clear .venv-homeassistant
	.venv-homeassistant/bin/pip install -q --disable-pip-version-check uv
	UV_SYSTEM_CERTS=1 .venv-homeassistant/bin/uv pip install -q \
		--python .venv-homeassistant/bin/python -r $<
	cp $< $@

bench: venv ## measure speeds and sizes
	.venv/bin/python bench/run.py

evaluate: venv ## how good the detection is: evaluation/report.html, in an hour; ARGS=--short
	.venv/bin/mqtt-ids evaluate --check $(ARGS)

fuzz: venv ## a million broken inputs; ARGS="--count N --seed N" for others
	.venv/bin/python scripts/fuzz.py $(ARGS)

lab: venv ## train the shipped model anew, from its seed
	.venv/bin/python -m mqtt_ids.lab model/mqtt_ids_model/default

format: venv ## mend what lint and format can mend
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

clean: ## remove the environments and what tools left behind
	rm -rf .venv .venv.lock .venv-tflite-runtime .venv-tflite-runtime.lock dist
	rm -rf .venv-homeassistant
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find agent bench plugin model tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@python=$$(scripts/find-python 3.11) && "$$python" scripts/environment.py .venv --extras dev

# tflite-runtime has no wheel past Python 3.11. Without such a Python this part is left out, with a
# word; in CI (MQTT_IDS_STRICT=1) that is a failure.
venv-tflite-runtime:
	@if python=$$(PYTHON=$(PYTHON311) scripts/find-python 3.11 3.11); then \
		"$$python" scripts/environment.py .venv-tflite-runtime \
			--extras test,tflite-runtime --without ai-edge-litert; \
	else \
		rm -rf .venv-tflite-runtime; \
		echo "SKIPPED: the tests under tflite-runtime need Python 3.11" >&2; \
		[ "$$MQTT_IDS_STRICT" != 1 ]; \
	fi
