# Everything runs from .venv, which the first target that needs it makes: `make demo` and `make test` are all there is
# to type on a bare machine with python3, pip and make.
#
# PYTHON=/path/to/python3.12 picks the interpreter of a new .venv. pip's own settings (PIP_FIND_LINKS,
# PIP_EXTRA_INDEX_URL, pip.conf) apply, for example to take the CPU build of torch, which saves gigabytes.

.DEFAULT_GOAL := help
.ONESHELL:
SHELL := /bin/sh
.SHELLFLAGS := -euc

BIN := .venv/bin
# Written last, so .venv without it is not whole.
STAMP := .venv/.complete

.PHONY: help venv test demo lint format bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP) ## .venv with the pinned packages and the renderay command

demo: $(STAMP) ## render a manifest on this machine, no GPU needed
	@$(BIN)/renderay demo

test: lint ## lint, then every test
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## ruff check, ruff format --check, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## apply ruff's fixes and formatting
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## run every benchmark (minutes)
	@for script in benchmarks/[a-z]*.py; do
	    echo "== $$script"
	    $(BIN)/python "$$script"
	done

clean: ## remove caches and build products; .venv and rendered jobs stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage htmlcov
	find . -name .venv -prune -o -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# --- .venv -----------------------------------------------------------------------------------------------------------

# Its scripts hold absolute paths: one that was copied or moved here, or whose interpreter is gone, is made again.
ifneq ($(shell grep -qsF "$$(pwd -P)/$(BIN)/python" $(BIN)/renderay && $(BIN)/python -c 'print("whole")' 2>/dev/null),whole)
.PHONY: $(STAMP)
endif

$(STAMP): requirements.txt constraints.txt pyproject.toml
	@say() { printf 'make venv: %s\n' "$$*" >&2; }
	supported() { "$$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
	#
	find_python() {
	    python='$(PYTHON)'
	    [ -z "$$python" ] || { supported "$$python"; return; }
	    for python in python3 python3.13 python3.12 python3.11; do
	        if supported "$$python"; then return; fi
	    done
	    python=$$(python3 --version 2>/dev/null) || python="no python3"
	    return 1
	}
	#
	# Bare Debian has venv without ensurepip: virtualenv does, and so does a pip from outside (22.3 or later).
	make_venv() {
	    why=$$("$$python" -m venv .venv 2>&1) && return
	    rm -rf .venv
	    "$$python" -m virtualenv --quiet .venv >/dev/null 2>&1 && return
	    rm -rf .venv
	    virtualenv --quiet --python "$$python" .venv >/dev/null 2>&1 && return
	    rm -rf .venv
	    "$$python" -m venv --without-pip .venv >/dev/null 2>&1 &&
	        "$$python" -m pip --python $(BIN)/python install --quiet pip >/dev/null 2>&1 && return
	    rm -rf .venv
	    return 1
	}
	#
	# Of pip's output only the large files; what it complains about if it fails.
	install() {
	    rm -f .venv/.failed
	    { PIP_USER=0 $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off "$$@" \
	        2>.venv/.complaints || touch .venv/.failed; } |
	        sed -u -n -E 's/^ *(Downloading|Using cached) ([^ ]+) (\([0-9.]+ GB\)|\([0-9]{3,}(\.[0-9]+)? MB\)).*/  \2 \3/p'
	    [ ! -e .venv/.failed ] || { tail -n 20 .venv/.complaints >&2; return 1; }
	    rm -f .venv/.complaints
	}
	#
	fresh=
	undo() {
	    if [ -n "$$fresh" ]; then rm -rf .venv; say "stopped before .venv was complete; it is removed again"
	    else say "stopped before .venv was complete; the next make goes on with it"; fi
	}
	trap 'exit 130' INT TERM HUP
	trap undo EXIT
	#
	rm -f $(STAMP) $(BIN)/renderay
	if ! { grep -qsF "$$(pwd -P)/$(BIN)/python" $(BIN)/pip && supported $(BIN)/python &&
	    $(BIN)/python -m pip --version >/dev/null 2>&1; }; then
	    find_python || {
	        trap - EXIT
	        say "needs Python 3.11, 3.12 or 3.13, found $$python; PYTHON=/path/to/python3.12 names another"
	        exit 1
	    }
	    fresh=yes
	    rm -rf .venv
	    make_venv || {
	        trap - EXIT
	        minor=$$("$$python" -c 'import sys; print("3.%d" % sys.version_info[1])')
	        say "$$python cannot make a virtual environment ($$(printf '%s\n' "$$why" | tail -n 1))"
	        say "on Debian and Ubuntu: sudo apt install python3-venv (or python$$minor-venv)"
	        exit 1
	    }
	fi
	echo "Installing the pinned packages into .venv (minutes the first time)"
	install --requirement requirements.txt
	install --no-deps --no-build-isolation --editable .
	touch $(STAMP)
	trap - EXIT
