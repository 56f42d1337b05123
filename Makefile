# What a person or a machine runs on a clean clone. `make help` lists it.

CARGO ?= cargo

# The mail server that the tests send to.
TEST_TOOLS := target/test-tools

.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## The program, as it is shipped: target/release/throughline
	$(CARGO) build --release --locked

.PHONY: run
run: build ## Run the server on config.toml
	target/release/throughline serve

# The order is that of the price: what fails fast comes first.
.PHONY: test
test: tools format lint doc ## Everything that must hold, with the tools it needs
	$(CARGO) nextest run --workspace --all-features --locked
	$(CARGO) test --doc --workspace --all-features --locked

# Which seeds `make simulate` lives through, for example SEEDS=1-100000; a single one reproduces a failure.
SEEDS ?= 1-5000

.PHONY: simulate
simulate: ## The simulation, over as many seeds as one likes: SEEDS=1-100000
	SEEDS=$(SEEDS) $(CARGO) test --release --locked --all-features --test simulation -- --nocapture whatever_breaks

.PHONY: tools
tools: ## What the tests need and this machine lacks
	@command -v cc >/dev/null 2>&1 || { echo "a C compiler named cc is needed (Debian: apt install build-essential)" >&2; exit 1; }
	@test -x $(TEST_TOOLS)/bin/aiosmtpd || { python3 -m venv $(TEST_TOOLS) && $(TEST_TOOLS)/bin/pip install --quiet aiosmtpd==1.4.6; } || { echo "python3 with venv is needed for the mail server of the tests (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest

.PHONY: format
format: ## Whether the code is formatted
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Whether clippy has nothing to say
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings

.PHONY: doc
doc: ## Whether the documentation builds and its links lead somewhere
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --locked

# Words choose parts and engines: make bench WHAT="webhook fjall". benches/README.md names them.
.PHONY: bench
bench: ## What it does a second, beside what the disk does; WHAT=… chooses
	$(CARGO) bench --locked --bench engine -- $(WHAT)

.PHONY: bench-small
bench-small: ## The small steps of a turn, each by itself
	$(CARGO) bench --locked --bench small

.PHONY: soak
soak: ## Half an hour of load: what grows
	$(CARGO) bench --locked --bench engine -- soak $(WHAT)

# How long each target of the fuzzer runs, and which ones; what it finds lies in fuzz/artifacts.
SECONDS := 30
TARGETS = $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))

.PHONY: fuzz
fuzz: ## Every reader of outside bytes under the fuzzer: make fuzz SECONDS=30 TARGETS="mail cron"
	@command -v c++ >/dev/null 2>&1 || { echo "a C++ compiler named c++ is needed for libFuzzer (Debian: apt install build-essential)" >&2; exit 1; }
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	$(CARGO) fuzz build --sanitizer none
	@for target in $(TARGETS); do \
		echo "fuzzing $$target for $(SECONDS) s"; mkdir -p fuzz/corpus/$$target; \
		$(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 -print_final_stats=1 \
			|| exit 1; \
	done

.PHONY: deny
deny: ## Licences, advisories and sources of every dependency
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --all-features check
