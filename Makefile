# `make` alone lists the targets: the text after ## in each.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
define PLAN_OF_DEMO
What this will do, in about 4 minutes after the install on two slow cores:
  install into .venv (once; a download of about 1 GB)      some minutes
  make a corpus: 640 clips of 14 sounds, datasets/demo     about 1/2 minute
  compute features of all clips                            about 1/2 minute
  train and predict 2 folds, 210 steps each                about 1 minute 20 each
  merge them: submission.csv, oof.csv, noisy.csv           some seconds
  write report.html                                        some seconds
Called again, it skips what is up to date.
endef
define AFTER_DEMO
Three things to do next:
  1. open report.html in a browser: scores, curves, and clips to listen to
  2. tag a sound:            source .venv/bin/activate && python tag.py datasets/demo/test --csv tags.csv
  3. train on your own data: put sounds into FOLDER/train/LABEL/, add FOLDER to config.json (README.md, "Your own data")
endef
export PLAN_OF_DEMO AFTER_DEMO

DATASET ?= freesound
K ?= 5

.PHONY: help demo plan_of_demo install test bench robustness kaggle lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: plan_of_demo .venv/installed ## the whole loop on a corpus that it makes, up to a report; installs into .venv first
	@echo; echo "== the corpus"
	$(BIN)/python demo/corpus.py --out datasets/demo --seed 0
	@echo; echo "== features, training, predictions, merging"
	TTA=4 SPLITS="val test train_noisy" PYTHON="$(CURDIR)/$(BIN)/python" ./run.sh demo 2 --recipe demo
	@echo; echo "== the report"
	$(BIN)/python report.py --dataset demo --img_rows 32 --img_cols 64 --output "$(CURDIR)/report.html"
	@echo; echo "$$AFTER_DEMO"

plan_of_demo:
	@echo "$$PLAN_OF_DEMO"

test: .venv/installed-dev ## all tests
	$(BIN)/python -m pytest -n auto --dist loadfile

bench: .venv/installed ## measure the speed, in ten to twenty minutes; writes benchmarks/results.md
	PYTHON="$(CURDIR)/$(BIN)/python" benchmarks/all.sh

robustness: .venv/installed-dev ## the attacks in full, which make test runs small, in half an hour; writes docs/robustness.md
	PYTHON="$(CURDIR)/$(BIN)/python" tests/robustness/all.sh

kaggle: .venv/installed ## pack the run of DATASET=freesound K=5 for a Kaggle notebook, and write the notebook
	$(BIN)/python on_kaggle/pack.py --dataset $(DATASET) --num_folds $(K) $(KAGGLE_FLAGS)

lint: .venv/installed-dev ## check the style with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

install: .venv/installed ## make .venv and install requirements.txt into it

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is not there, or older than Python 3.11; name another one with PYTHON=..."; exit 2; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean: ## delete .venv, the demo's data and everything that runs wrote, checkpoints included
	rm -rf .venv datasets/demo predictions checkpoints/*.pth checkpoints/*.jsonl checkpoints/.*.lock checkpoints/tensorboard checkpoints/first submission.csv oof.csv noisy.csv report.html
	rm -rf kaggle_dataset kaggle_notebook
