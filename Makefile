# Two commands: `make run` and `make test`. Both do all their set-up themselves.

.PHONY: run build images test lint unit fuzz bench help

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## build, start gorgoned with SQLite below local/, run a first command, stay up
	deploy/local/setup build
	cargo build --locked --bins
	deploy/local/run

build: ## build what goes to other machines into target/release: optimised, which takes longer
	deploy/local/setup build
	cargo build --release --locked --bins

images: build ## build the images of all services, of what 'make build' built
	deploy/docker/build --programs target/release

test: lint unit fuzz ## everything that must hold

lint: ## formatting, warnings
	deploy/local/setup test
	cargo fmt --all --check
	cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	cargo clippy --locked --workspace --all-targets -- -D warnings

unit: ## all tests; what they count is printed
	deploy/local/setup test
	cargo build --locked --workspace --bins
	deploy/local/with-tools cargo test --locked --workspace -- --show-output

fuzz: ## fuzz codec, handshake, configuration and jobs, a minute each (FUZZ_SECONDS=n for longer)
	deploy/local/setup fuzz
	deploy/local/fuzz

bench: build ## measure, as ratios to what the machine can do
	deploy/local/setup test
	deploy/local/with-tools cargo bench --locked -p gorgone-integration-tests
