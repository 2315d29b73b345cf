# Everything a person or a workflow does here is a target of this file. Needed: python3, a C/C++ compiler, make.
.DEFAULT_GOAL := help
SHELL := /bin/bash
RUN_EXTRAS := --extra local --no-default-groups
ALL_EXTRAS := --all-extras --group dev
BASE ?= origin/main

# What a caller gives is data. It is taken as it is written and never expanded here, also where it says $(shell ...);
# recipes read it from the environment, quoted, so that no shell reads it as code either.
GIVEN := ACTIONS ARGS BASE JUPYTER_ARGS OUT PLATFORM PYTEST_ARGS PYTHON_IMAGE SCHEMAS TARGET TEMPLATES TESTS URL UV_PROJECT_ENVIRONMENT WORKFLOWS_OFFLINE WORKFLOWS_PYTEST
$(foreach name,$(GIVEN),$(if $(filter undefined,$(origin $(name))),,\
  $(eval override $(name) := $$(value $(name)))$(eval export $(name))))
export BIN := $(or $(UV_PROJECT_ENVIRONMENT),.venv)/bin
# Many containers forbid Python to keep compiled modules. Here each process would then compile them again, for 3 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## the environment for development, exactly as uv.lock pins it
	@python3 .ci/bootstrap.py $(ALL_EXTRAS)
	@"$$BIN/python" .ci/kernels.py best

.PHONY: run
run: ## set up, fetch and verify the starter model, serve on http://127.0.0.1:7860
	@python3 .ci/bootstrap.py $(RUN_EXTRAS)
	@"$$BIN/python" .ci/kernels.py best
	@exec "$$BIN/sameboat" serve

.PHONY: studio
studio: setup models ## edit, run, compare, improve and promote drafts in the browser, on this machine only
	@exec "$$BIN/sameboat" studio

# Options have the form --name=value: pytest would take an existing file after a space for a test path.
PYTEST := PYTEST_ADDOPTS="$$PYTEST_ADDOPTS $$PYTEST_ARGS" "$$BIN/python" -m pytest

# A file's tests run in one process, so that they share its fixtures. Much of the time is waiting: three processes on two cores.
.PHONY: test
test: setup models ## test every claim once, on its cheapest ground, in five minutes on two cores
	@$(PYTEST) --numprocesses=3 --dist=loadfile --no-loadscope-reorder --tier=1 --durations-path=.sameboat/durations-1.json

.PHONY: test-rest
test-rest: setup models ## run the tests that make test leaves out, and those that draw with more draws
	@$(PYTEST) --tier=2 --durations-path=.sameboat/durations-2.json

.PHONY: test-all
test-all: setup models ## run every test
	@$(PYTEST) --durations-path=.sameboat/durations.json

.PHONY: durations
durations: setup ## list the tests of the last make test over five CPU seconds, and fail at fifteen
	@"$$BIN/python" -m tests.durations .sameboat/durations-1.json

.PHONY: models
models: setup ## fetch and verify the starter model
	@"$$BIN/sameboat" model pull --quiet

.PHONY: lint
lint: setup ## formatting, lint, types, secrets, workflows, containers, shell
	@bash .ci/lint

.PHONY: format
format: setup ## let ruff fix what it can
	@"$$BIN/ruff" check --fix --quiet . ; "$$BIN/ruff" format --quiet .

.PHONY: docs
docs: ## the docs site, offline and with strict links, in .sameboat/site
	@python3 .ci/bootstrap.py --no-default-groups --group docs
	@"$$BIN/python" .ci/docs.py

.PHONY: page-vendor
page-vendor: ## the libraries of the page again, from npm by lock, into service/http/pages/vendor
	@python3 .ci/page.py

.PHONY: test-lowest
test-lowest: setup ## the tests that need no model, on the lowest versions that pyproject.toml allows
	@read -ra words <<<"$$PYTEST_ARGS"; .ci/lowest "$${words[@]}"

.PHONY: notebook
notebook: setup models ## JupyterLab on the notebooks; more for it in JUPYTER_ARGS, such as --port=8890
	@read -ra words <<<"$$JUPYTER_ARGS"; exec "$$BIN/jupyter" lab $(if $(filter 0,$(shell id -u)),--allow-root) --notebook-dir=. "$${words[@]}" notebooks/1-first-words.ipynb

.PHONY: promotion-reports
promotion-reports: setup models ## a worse, an equal and a better draft of each real prompt, into docs/promotion-reports.md
	@"$$BIN/python" -m tests.bench.promotion_reports

.PHONY: error-rates
error-rates: setup ## simulated error rates and power of verdicts and searches, into docs/error-rates.md
	@OPENBLAS_NUM_THREADS=1 "$$BIN/python" -m tests.bench.error_rates

.PHONY: prompt-report
prompt-report: setup ## the pull request's text for every prompt changed since BASE (no model needed; OUT=file)
	@"$$BIN/sameboat" prompt report --base "$$BASE" $${OUT:+--out "$$OUT"}

.PHONY: bench
bench: setup models ## measure, side by side with peers, into docs/bench.{json,md,svg}; ARGS="--rounds 3"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench "$${words[@]}"

.PHONY: bench-idle
bench-idle: setup models ## measure the CPU of idle services, with builds and without, on SQLite and Postgres, into docs/builds.md
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.idle "$${words[@]}"

.PHONY: bench-page
bench-page: setup models ## measure the page in Chromium: Lighthouse, frames of 1,000 cases, ten open pages; ARGS="open --rounds 5"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.page "$${words[@]}"

.PHONY: page-lighthouse
page-lighthouse: setup models ## Lighthouse on the first view, at least 95 in each category
	@"$$BIN/python" -m tests.bench.page lighthouse

.PHONY: bench-device
bench-device: setup models ## measure chunks, steps and copies of one device: ARGS="cuda", ARGS="vulkan --model NAME"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.device "$${words[@]}"

.PHONY: bench-schemas
bench-schemas: setup models ## measure the JSON Schemas of a MaskBench file: SCHEMAS=FILE
	@"$$BIN/python" -m tests.bench.maskbench --path "$$SCHEMAS"

.PHONY: bench-tools
bench-tools: setup models ## measure tool calls under auto on 70 requests, with Qwen2.5-Coder: ARGS="--half unseen"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.tools "$${words[@]}"

.PHONY: bench-improve
bench-improve: setup models ## measure the search for better drafts on the starter: ARGS="data/topics.csv --budget 400"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.improve "$${words[@]}"

.PHONY: stopwatch
stopwatch: setup ## the seconds from git clone to the promotion of notebook 6, with empty caches (some minutes)
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.first_promotion "$${words[@]}"

.PHONY: bench-templates
bench-templates: setup ## measure chat templates against transformers' renderings: TEMPLATES=DIR
	@"$$BIN/python" -m tests.bench.chat_templates --path "$$TEMPLATES"

.PHONY: drill-briefs
drill-briefs: setup models ## build 24 briefs with the local 1.5B model (about 20 minutes); ARGS="--folder other_words"
	@"$$BIN/sameboat" model pull --quiet qwen2.5-coder-1.5b-instruct
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.drill_briefs "$${words[@]}"

.PHONY: image
image: ## build sameboat:local, labelled with what it serves (TARGET=worker, baked, dev; PYTHON_IMAGE=another base; PLATFORM=linux/arm64)
	@.ci/image "$${TARGET:-runtime}"

.PHONY: image-test
image-test: setup image ## build the image and test it: locked in, recorded tokens, kills, limits
	@SAMEBOAT_IMAGE=sameboat:local $(PYTEST) tests/containers/test_image.py tests/containers/test_kill.py

.PHONY: compose-test
compose-test: setup image ## build what compose.yaml names and test it: names, volumes, a notebook, workers killed on Postgres
	@.ci/image worker
	@.ci/image dev
	@SAMEBOAT_IMAGE=sameboat:local $(PYTEST) tests/containers/test_compose.py

.PHONY: wheel
wheel: ## build the package into dist/
	@python3 .ci/bootstrap.py --only-group deliver
	@.ci/uv build --wheel --out-dir dist

.PHONY: smoke
smoke: ## ask every public route of a deployed instance: make smoke URL=https://...
	@python3 .ci/smoke.py "$${URL:-http://127.0.0.1:7860}"

.PHONY: bundle
bundle: ## what a serverless platform gets, in .sameboat/bundle, and how large it is
	@python3 .ci/bundle.py

.PHONY: secrets
secrets: ## what compose.yaml reads: secrets/ with a key for callers, made once, never overwritten
	@.ci/secrets

.PHONY: replay
replay: setup ## judge the recordings of all promoted prompts again, without a model
	@.ci/evaluate replay

.PHONY: live
live: setup ## ask the models of all promoted prompts again; they must give the recordings (fetches 1.2 GB)
	@.ci/evaluate live

.PHONY: refresh
refresh: setup ## fetch the data sets again, make the cases again, and say what the promoted prompts make of them
	@"$$BIN/python" data/fetch_reviews.py
	@"$$BIN/python" data/make_contacts.py
	@"$$BIN/python" data/fetch_messages.py
	@git diff --stat -- data
	@.ci/evaluate replay || true

.PHONY: workflows-test
workflows-test: ## run the jobs of every workflow here with act; ARGS="prompts test", ACTIONS=DIR, WORKFLOWS_PYTEST="tests/test_errors.py"
	@python3 .ci/bootstrap.py --no-default-groups --group workflows
	@read -ra words <<<"$$ARGS"; "$$BIN/python" .ci/workflows_test.py "$${words[@]}"

.PHONY: devcontainer-test
devcontainer-test: ## build the workspace with the Dev Containers CLI and use it: tests, notebooks, volumes
	@.ci/devcontainer

.PHONY: drill-exact
drill-exact: setup models ## a thousand recorded cases in exact mode, beside fast ones: all have the recorded bits; ARGS="--answers 340"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.drill_exact "$${words[@]}"

.PHONY: drill-load
drill-load: setup models ## 200 clients for five minutes, the engine killed 20 times meanwhile, into docs/load.md
	@"$$BIN/python" -m tests.bench.drill_load

.PHONY: drill-fleet
drill-fleet: setup ## 1,000 clients before HAProxy and two api, which are killed with the engine, into docs/fleet.md; ARGS="--seconds 150"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.drill_fleet "$${words[@]}"

.PHONY: drill-scale
drill-scale: setup ## 100,000 cases over a remote engine, the evaluation killed twice, into docs/scale.md; ARGS="--cases 20000"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.drill_scale "$${words[@]}"

.PHONY: drill-hostile
drill-hostile: setup models ## 30 clients of every kind for 15 minutes, engine and service killed meanwhile, into docs/hostile.md
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.drill_hostile "$${words[@]}"

.PHONY: drill-api
drill-api: setup ## Schemathesis on the whole API for ten minutes
	@"$$BIN/python" -m tests.http.drill_api

.PHONY: drill-delivery
drill-delivery: ## two commits, their images, promotion by digest, smoke, the way back, on a registry of this machine
	@.ci/drill

.PHONY: clients
clients: setup models ## run eleven client libraries against the service, into docs/clients.{json,md}
	@$(PYTEST) tests/clients/test_matrix.py --clients-path=docs/clients.json; code=$$?; "$$BIN/python" -m tests.clients.page; exit $$code

.PHONY: cluster-test
cluster-test: setup models ## the starter's promoted prompts over a real vLLM and llama-server, where they are installed, into docs/parity.{json,md}
	@$(PYTEST) -rs tests/cluster/test_parity.py --parity-path=docs/parity.json; code=$$?; \
	  [ ! -f docs/parity.json ] || "$$BIN/python" -m tests.cluster.page; exit $$code

.PHONY: fuzz
fuzz: setup models ## every route with bodies at their ends against the real engine, for half an hour; ARGS="--seconds 60"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.http.fuzz "$${words[@]}"

.PHONY: drill-builds
drill-builds: setup ## a thousand briefs, ten at a time, beside five builds, and a kill: what is lost (nothing)
	@"$$BIN/python" -m tests.bench.builds

.PHONY: drill-kills
drill-kills: setup ## rounds of 20 tasks, 200 SIGKILLs at random moments, on SQLite and on Postgres, into docs/kills.md; ARGS="--kills 20"
	@read -ra words <<<"$$ARGS"; "$$BIN/python" -m tests.bench.drill_kills "$${words[@]}"

.PHONY: clean
clean: ## remove what can be made again inside this folder (never the model cache)
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
