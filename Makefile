# One command for everything. `make help` lists the targets.
#
# Owns the order of the steps and the check for needed tools; each step's own work is done by cargo, Django or a script.
# Settings: PYTHON (default python3), BIND (default 127.0.0.1:8000), CARGO_TARGET_DIR, FUZZ_SECONDS, LOADTEST_ARGS, SOAK_SECONDS, PREFIX, DESTDIR.

PYTHON ?= python3
BIND ?= 127.0.0.1:8000
FUZZ_SECONDS ?= 30
LOADTEST_ARGS ?= all --rounds 5
SOAK_SECONDS ?= 600
PREFIX ?= /usr/local

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
MAITRED := $(TARGET_DIR)/release/maitred
VENV := .venv
PEERS := .venv-peers
FRAMEWORKS := .venv-frameworks
SITE := examples/site
# The distribution's interpreter where there is one: figures should be those of what people deploy on.
PEERS_PYTHON ?= $(firstword $(wildcard /usr/bin/python3) $(PYTHON))
SITE_SOURCES := $(shell find $(SITE) -type f -not -path '$(SITE)/var/*' -not -name '*.pyc' 2>/dev/null | sed 's/ /\\ /g')

# A tool and the Debian package that holds it. git: glommio's build script calls it. cc: crates that build C.
define need
command -v $(1) >/dev/null || { echo "make: '$(1)' is missing. On Debian: apt-get install $(2)" >&2; exit 1; }
endef
# A comma inside a call.
, := ,
# Steps that announce themselves.
say = printf '\n\033[1m==> %s\033[0m\n' $(1)
# The virtual environment's interpreter comes first for everything that is started from here.
in_venv = VIRTUAL_ENV='$(CURDIR)/$(VENV)' PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | awk -F'\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'

.PHONY: tools
tools:
	@$(call need,git,git)
	@$(call need,cc,gcc libc6-dev)
	@$(call need,c++,g++)
	@$(call need,$(PYTHON),python3)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) can't make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: the example site needs Python 3.10 or later (Django 5.2). Set PYTHON=/path/to/python3" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "make: 'cargo' is missing. Install Rust 1.95 or later with rustup (https://rustup.rs); Debian 12's packages cargo and rustc are too old" >&2; exit 1; }

$(VENV)/.installed: $(SITE)/requirements.txt tests/requirements.txt | tools
	@$(call say,"Python environment in $(VENV)")
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $(SITE)/requirements.txt -r tests/requirements.txt
	@touch $@

$(SITE)/var/.ready: $(VENV)/.installed $(SITE_SOURCES)
	@$(call say,"Example site: database$(,) static files$(,) notes")
	$(VENV)/bin/python $(SITE)/manage.py migrate --verbosity 1
	$(VENV)/bin/python $(SITE)/manage.py collectstatic --noinput --clear --verbosity 1
	$(VENV)/bin/python $(SITE)/manage.py seed
	@touch $@

.PHONY: build
build: tools ## Build the release binary
	@$(call say,"Release binary$(,) a few minutes the first time")
	cargo build --release --locked

.PHONY: install
install: ## Copy the release binary to $(DESTDIR)$(PREFIX)/bin, after `make build`
	@test -x $(MAITRED) || { echo "make: there is no $(MAITRED); run 'make build' first" >&2; exit 1; }
	install -D -m 755 $(MAITRED) $(DESTDIR)$(PREFIX)/bin/maitred

.PHONY: run
run: $(SITE)/var/.ready build ## Serve the example site on http://127.0.0.1:8000
	@$(call say,"Serving $(SITE) on http://$(BIND) until Ctrl-C. Log in as demo / notes-on-the-board")
	@$(in_venv) exec $(MAITRED) serve --chdir $(SITE) --bind $(BIND)

.PHONY: test
test: $(VENV)/.installed ## Test everything from a bare checkout
	@$(call say,"Python: the example site and the probe")
	$(VENV)/bin/python $(SITE)/manage.py test notes
	cd examples/probe && $(CURDIR)/$(VENV)/bin/python check.py
	cd loadtest && $(CURDIR)/$(VENV)/bin/python -m unittest -q check
	@$(call say,"Rust: documentation$(,) unit$(,) property and black-box tests")
	$(in_venv) cargo test --locked --doc
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; $(in_venv) cargo nextest run --locked --all-targets --no-fail-fast; \
	else \
		set -x; $(in_venv) cargo test --locked --all-targets --no-fail-fast; \
	fi
	@$(call say,"Fuzz targets$(,) 2 s each")
	fuzz/run 2 --fresh
	@$(call say,"All tests passed")

.PHONY: check
check: tools ## Formatting, lints, licences of the dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then set -x; cargo deny check bans licenses sources; \
	else echo "cargo-deny is not installed: licences were not checked (cargo install cargo-deny)"; fi

.PHONY: advisories
advisories: tools ## Known vulnerabilities in the dependencies (fetches the advisory database)
	cargo deny check advisories

.PHONY: fuzz
fuzz: tools ## Fuzz every parser of foreign bytes, FUZZ_SECONDS each
	@$(call say,"Fuzzing$(,) $(FUZZ_SECONDS) s each")
	fuzz/run $(FUZZ_SECONDS)

$(FRAMEWORKS)/.installed: tests/frameworks/requirements.txt | tools
	@$(call say,"Large projects to serve in $(FRAMEWORKS)")
	@test -x $(FRAMEWORKS)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/frameworks/requirements.txt
	@touch $@

.PHONY: frameworks
frameworks: $(FRAMEWORKS)/.installed build ## Serve a Wagtail project and edit it: log in, upload an image, publish a page
	$(FRAMEWORKS)/bin/python tests/frameworks/wagtail.py $(MAITRED)

$(PEERS)/.installed: loadtest/requirements.txt | tools
	@$(call say,"Servers to measure against in $(PEERS)")
	@test -x $(PEERS)/bin/python || $(PEERS_PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r loadtest/requirements.txt
	@touch $@

.PHONY: loadtest-setup
loadtest-setup: $(PEERS)/.installed ## Install the servers that maitred is measured against
	@$(call need,wrk,wrk)
	@command -v nginx >/dev/null || test -x /usr/sbin/nginx || { echo "make: 'nginx' is missing. On Debian: apt-get install nginx-light" >&2; exit 1; }
	@command -v lighttpd >/dev/null || test -x /usr/sbin/lighttpd || { echo "make: 'lighttpd' is missing. On Debian: apt-get install lighttpd lighttpd-mod-deflate" >&2; exit 1; }
	@$(call need,h2o,h2o)
	@$(call need,taskset,util-linux)

.PHONY: loadtest
loadtest: loadtest-setup build ## Measure against nginx, h2o, lighttpd, gunicorn, uWSGI, granian and supervisord (LOADTEST_ARGS)
	$(PEERS)/bin/python loadtest/run.py --maitred $(MAITRED) $(LOADTEST_ARGS)

.PHONY: soak
soak: $(VENV)/.installed build ## Everything at once for SOAK_SECONDS, with kills, reloads and scalings
	@$(call need,openssl,openssl)
	@$(call say,"Soak$(,) $(SOAK_SECONDS) s")
	$(VENV)/bin/python loadtest/run.py soak --soak-seconds $(SOAK_SECONDS) --maitred $(MAITRED) --check

.PHONY: clean
clean: ## Remove what was built, the virtual environments and the example site's data
	cargo clean
	rm -rf $(VENV) $(PEERS) $(FRAMEWORKS) $(SITE)/var
