"""The ablation's table, and that a finished run is not repeated."""

import argparse
import json
import shlex
import time

import pytest

from benchmarks import ablation
from loaders.layouts import read_corpus
from utils.errors import UserError

FLAGS = shlex.split(
    "--dataset tiny --settings improved 'improved, believable noisy clips' --seeds 1 --n_iter 2 --batch_size 4 "
    "--num_folds 2 --arch mobilenet_v3_small --img_rows 32 --img_cols 64 --sampling_rate 16000 --folder runs"
)


def arguments() -> argparse.Namespace:
    return argparse.Namespace(
        device="cpu", arch="resnet18", num_folds=5, n_iter=4, batch_size=2, img_rows=32, img_cols=64, curve=0,
        sampling_rate=16000, precision="fp32", dataset="tiny", jobs=3, made_from=["code", "packages", "data"],
    )  # fmt: skip


def test_a_result_of_other_code_packages_or_data_is_another_one():
    args = arguments()
    before = ablation.how("improved", args)
    for changed in (["other", "packages", "data"], ["code", "other", "data"], ["code", "packages", "other"]):
        args.made_from = changed
        assert ablation.how("improved", args) != before


def test_what_a_result_is_made_from_follows_the_data(workplace, corpus, monkeypatch):
    monkeypatch.chdir(workplace)
    (workplace / "config.json").write_text(json.dumps({"tiny": {"data_path": str(corpus)}}))
    args = arguments()
    before = ablation.made_from(read_corpus(corpus), args)
    assert before == ablation.made_from(read_corpus(corpus), args)
    path = corpus / "train_curated.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    after = ablation.made_from(read_corpus(corpus), args)
    assert (after[:2], after[2] != before[2]) == (before[:2], True)


def test_times_of_stopped_runs_and_of_other_numbers_of_jobs_are_not_compared():
    first = [{"seconds": 10.0, "jobs": 1}]
    assert ablation.relative_time([{"seconds": 20.0, "jobs": 1}], first) == "2.00"
    assert ablation.relative_time([{"seconds": 20.0, "jobs": 2}], first) == ""
    assert ablation.relative_time([{"seconds": float("nan"), "jobs": 1}], first) == ""


def test_a_run_that_is_done_is_kept_though_another_fails(tmp_path, monkeypatch):
    def work(setting, seed, args, done):
        if seed == 1:
            time.sleep(0.2)
            raise UserError("out of memory")
        done.add({"setting": setting, "seed": seed, "how": "x", "test": 0.5})

    monkeypatch.setattr(ablation, "train_and_score", work)
    done = ablation.Results(tmp_path / "results.jsonl")
    with pytest.raises(UserError, match="out of memory"):
        ablation.train_all([("improved", seed) for seed in (1, 2, 3)], arguments(), done)
    assert sorted(seed for _, seed in ablation.Results(done.path).rows) == [2, 3]


def test_a_setting_is_trained_scored_and_not_trained_again(process, workplace, warm_python, request):
    python = warm_python / "python"
    command = [python, request.config.rootpath / "benchmarks/ablation.py", *FLAGS]
    first = process(workplace, *command, PYTHON=python)
    assert first.code == 0, first.err
    lines = (workplace / "runs" / "results.jsonl").read_text().splitlines()
    record, selected = map(json.loads, lines)
    assert (record["setting"], record["seed"]) == ("improved", 1)
    assert f"| {selected['test']:.4f} ± nan |" in first.out
    assert f"| {record['test']:.4f} ± nan | {record['test, balanced']:.4f} ± nan |" in first.out
    assert f"| {record['held out']:.4f} ± nan | 1.00 | 1.00 |" in first.out
    again = process(workplace, *command, PYTHON=python)
    assert again.code == 0, again.err
    assert (workplace / "runs" / "results.jsonl").read_text().splitlines() == lines
    assert f"{record['test']:.4f} ± nan" in again.out


def test_the_full_regime_keeps_a_curve_of_the_test_score(process, workplace, warm_python, request):
    python = warm_python / "python"
    flags = [*FLAGS[:2], "--settings", "original", *FLAGS[FLAGS.index("--seeds") :], "--regime", "full"]
    done = process(workplace, python, request.config.rootpath / "benchmarks/ablation.py", *flags, PYTHON=python)
    assert done.code == 0, done.err
    record = json.loads((workplace / "runs" / "results.jsonl").read_text())
    assert len(record["curve"]) == 2  # --n_iter 2 by hand
    assert record["curve"][-1] == record["test"]
    assert f"{record['curve'][0]:.4f}, {record['curve'][1]:.4f}" in done.out
