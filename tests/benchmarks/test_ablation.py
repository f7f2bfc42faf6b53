"""The ablation's table, and that a finished run is not repeated."""

import json
import shlex

FLAGS = shlex.split(
    "--dataset tiny --settings improved 'improved, believable noisy clips' --seeds 1 --n_iter 2 --batch_size 4 "
    "--num_folds 2 --arch mobilenet_v3_small --img_rows 32 --img_cols 64 --sampling_rate 16000 --folder runs"
)


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
