# What a working copy can do. `make` alone lists it.

CARGO_DENY = cargo-deny 0.20.2

.PHONY: help run setup test test-deployment test-docs prepare lint docs bench matrix screenshots

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

run: ## start the server on 127.0.0.1:8080, keeping its tasks in memory
	cargo run --release --locked -- run

setup: ## install what the tests need: PostgreSQL, the original AFM and agent
	scripts/setup-tests

test: setup ## run all tests
	scripts/run-tests
	# The server that the tests have built.
	SLAMON_AFM=$(abspath $(or $(CARGO_TARGET_DIR),target))/debug/slamon-afm scripts/test-python

test-deployment: setup ## build images and packages and test them, as root on Debian
	scripts/test-deployment

test-docs: ## execute the commands of README and docs, as root on Debian
	scripts/test-docs

prepare: ## build what test-deployment, test-docs, docs and lint need
	scripts/test-deployment --prepare
	scripts/test-docs --prepare
	scripts/build-docs
	scripts/cargo-tool $(CARGO_DENY)

lint: ## check format, lints, documentation, licences and sources
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items
	"$$(scripts/cargo-tool $(CARGO_DENY))" --locked --workspace check licenses bans sources

docs: ## make a book of docs in target/book, and check its links
	scripts/build-docs

screenshots: setup ## take the pictures of docs/dashboard.md
	rm -f docs/screenshots/*.png
	SLAMON_SCREENSHOTS=$(CURDIR)/docs/screenshots cargo test --locked -p slamon-afm --test it -- browser::pictures

matrix: setup ## test on each PostgreSQL, with and without PgBouncer, and write docs/matrix.md
	scripts/setup-matrix
	scripts/matrix --write-docs

bench: setup ## measure everything beside the original, about an hour, and write docs/performance.md
	cargo build --release --locked -p slamon-afm -p slamon-bench
	$${CARGO_TARGET_DIR:-target}/release/slamon-bench compare --write-docs
	scripts/count-instructions --write-docs
