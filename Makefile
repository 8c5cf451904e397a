# Every target works on a fresh machine with Python 3.11 or 3.12 and nothing else; none calls apt.
#   PYTHON=python3.12   which interpreter .venv is made with
#   TORCH=system        use the interpreter's own torch and triton instead of the pinned CPU build
#   PORT=3000           where `make serve` listens
#   WORKERS=2           in how many processes `make test` runs
PYTHON ?= python3
TORCH ?= pinned
PORT ?= 3000
WORKERS ?= 2
SYSTEM := $(filter system,$(TORCH))
EXTRAS := serve,faces,grpo,people,dev
BIN := .venv/bin
ifeq ($(filter pinned system,$(TORCH)),)
$(error TORCH is pinned or system, not "$(TORCH)")
endif

.PHONY: install demo serve test check docs bench ablation proto clean
.DELETE_ON_ERROR:

install: .venv/installed
ifneq ($(origin TORCH),file)
	@grep -q -x "$(TORCH)" $< || { echo "this .venv was not made with TORCH=$(TORCH): make clean, then again" >&2; exit 1; }
endif

.venv/installed: pyproject.toml clients/pyproject.toml constraints.txt
	@echo "Setting up .venv with $(PYTHON) (torch: $(TORCH)): about 180 packages, 3.3 GB on disk, 1 to 5 minutes"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 12) else f"Python 3.11 or 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; choose one with PYTHON=")'
	@$(PYTHON) -m venv $(if $(SYSTEM),--system-site-packages) .venv
ifneq ($(SYSTEM),)  # one that is missing or old would be fetched, with several GB of CUDA packages
	@$(BIN)/python -c 'import sys, importlib.metadata as m; v = next((d.version for d in m.distributions(name="torch")), "0.0"); sys.exit(0 if tuple(map(int, v.split(".")[:2])) >= (2, 11) else f"TORCH=system needs torch 2.11 or newer in the Python that PYTHON= names, outside any venv; found {v}")'
endif
	@grep -v -E '$(if $(SYSTEM),^(torch|triton)==,^$$)' constraints.txt > .venv/constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .venv/constraints.txt -e ./clients -e ".[$(EXTRAS)]"
	@echo "$(TORCH)" > $@

# what only tests need, beside .venv's own packages: the client alone (no torch), and the anchor of the pixel tests
.venv/test-installed: .venv/installed
	@echo "Setting up the tests' own environments: the light client (150 MB) and torchvision as an anchor (30 MB)"
	@$(PYTHON) -m venv .venv/light
	@.venv/light/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt ./clients
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/anchors --upgrade torchvision==0.28.0
	@touch $@

demo: install  ## start the service on its default model, score the example clips over HTTP, print the table
	@$(BIN)/python examples/demo.py

serve: install  ## serve the default model on port $(PORT) until Ctrl-C
	@exec $(BIN)/identity-reward serve --port $(PORT)

test: .venv/test-installed  ## the tests that continuous integration runs
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder

check: install  ## style, types, and pages without broken links
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir .venv/site

docs: install  ## write the generated parts of the pages anew, then build them with search, offline, into site/
	@$(BIN)/python -m docs.generate
	@$(BIN)/python -m benchmarks.report
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html, or: $(BIN)/python -m http.server --directory site --bind 127.0.0.1 8000"

bench: install  ## the CPU benchmarks
	@$(BIN)/python -m benchmarks

ablation: install  ## the paper's table of data sources and samplers, under an hour, goes on where it stopped
	@$(BIN)/python -m benchmarks.reward.ablation --json docs/benchmarks/reward.ablation.json

proto: install  ## generate the Python code of the .proto anew
	@cd clients && ../$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --pyi_out=. identity_reward_client/proto/identity_reward.proto

clean:
	@rm -rf .venv
