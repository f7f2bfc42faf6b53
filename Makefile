# make demo: the whole loop on an embedded corpus.   make test: the tests.   make lint: style.   make bench: the speed.
# make robustness: the attacks in full, which make test runs in small; half an hour on two cores.
# make kaggle DATASET=freesound K=5: what a Kaggle notebook needs to predict, and the notebook.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
DEMO_FLAGS := --arch resnet18 --img_rows 32 --img_cols 96 --batch_size 16 --n_iter 360 --eval_freq 120 \
	--l_rate 0.05 --num_cycles 1 --dropout_rate 0.2 --print_train_freq 50

DATASET ?= freesound
K ?= 5

.PHONY: demo test bench robustness lint install kaggle clean

demo: .venv/installed
	$(BIN)/python demo/corpus.py --out datasets/demo --seed 0
	SPLITS="val test train_noisy" PYTHON="$(CURDIR)/$(BIN)/python" ./run.sh demo 2 $(DEMO_FLAGS)
	$(BIN)/python report.py --dataset demo --img_rows 32 --img_cols 96 --output "$(CURDIR)/report.html"

test: .venv/installed-dev
	$(BIN)/python -m pytest

bench: .venv/installed
	PYTHON="$(CURDIR)/$(BIN)/python" benchmarks/all.sh

robustness: .venv/installed
	PYTHON=$(CURDIR)/$(BIN)/python tests/robustness/all.sh

kaggle: .venv/installed
	$(BIN)/python on_kaggle/pack.py --dataset $(DATASET) --num_folds $(K) $(KAGGLE_FLAGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

install: .venv/installed

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is older than Python 3.11; name another one with PYTHON=..."; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv datasets predictions checkpoints/*.pth checkpoints/*.jsonl checkpoints/tensorboard submission.csv oof.csv noisy.csv report.html
	rm -rf kaggle_dataset kaggle_notebook
