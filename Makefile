# Every target sets up what it needs first. `make demo` and `make test` are all a newcomer has to know.
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test check unit integration e2e proto bench dist lock docs clean prepare
.DELETE_ON_ERROR:

# The main job on an embedded sandbox; KEEP=1 leaves it running.
demo: $(STAMP)
	$(BIN)/python -m agent.sandbox.demo $(if $(KEEP),--keep)

# Everything that guards a change. At its end stands what was left out on this machine, and why.
test: prepare check
	$(BIN)/pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	scripts/proto.sh --check

unit: $(STAMP)
	$(BIN)/pytest tests/unit

integration: prepare
	$(BIN)/pytest tests/integration

e2e: prepare
	$(BIN)/pytest tests/e2e

# The committed stubs, from proto/.
proto: $(STAMP)
	scripts/proto.sh

# Figures, on the real control plane.
bench: prepare
	$(BIN)/python bench/run.py $(BENCH)

# The wheel, this machine's archive of the plugin that needs no Python, and krew's manifest of it.
dist: prepare
	$(BIN)/python scripts/dist.py dist

# Newer versions of what pyproject.toml allows.
lock: $(STAMP)
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --all-extras --group dev --universal \
		--generate-hashes --no-emit-index-url -o requirements.lock

# What is generated from the code's own tables.
docs: $(STAMP)
	$(BIN)/python -m agent.flags > docs/flags.md
	$(BIN)/python -m kubectl_flux.reference > docs/commands.md
	$(BIN)/python -m kubectl_flux.install deploy

clean:
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The programs that the slower tests run; installed only where they are missing.
prepare: $(STAMP)
	scripts/prepare.sh

$(STAMP): requirements.lock pyproject.toml scripts/venv.sh
	scripts/venv.sh
	touch $@
