"""Help and misuse of every script: one line on stderr that says what is wrong, no traceback, the right exit code."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch

from training.processes import Processes

SCRIPTS = ["train.py", "test.py", "merge.py", "report.py", "tag.py", "loaders/freesound_loader.py", "on_kaggle/pack.py"]
ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = [
    f"benchmarks/{path.name}"
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "make_parser(" in path.read_text(encoding="utf-8")
]
TINY = shlex.split("--dataset tiny --img_rows 32 --sampling_rate 16000")
TRAIN = [*TINY, *shlex.split("--arch mobilenet_v3_small --img_cols 64 --n_iter 1 --batch_size 4 --num_folds 2")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_shows_an_example_and_every_flag_with_its_default(script, workplace, name):
    done = script(workplace, name, "-h")
    assert (done.code, done.err) == (0, "")
    assert f"example:\n  python {name}" in done.out.replace("PYTHONPATH=. ", "")
    flags = [line for line in done.out.splitlines() if line.startswith("  --")]
    text = done.out[done.out.index("\noptions:") : done.out.index("example:")]
    entries = text.split("\n  -")[1:]
    assert len(entries) >= len(flags) > 4
    for entry in entries:
        described = "(default: " in entry or "without the flag" in " ".join(entry.split()) or any(
            flag in entry for flag in ("h, --help", "-resume", "-model_path", "-run ", "-output", "-strict", "-use_c",
                                       "-dataset DATASET ", "-img_", "-sampling_rate", "-seed", "-allow_missing",
                                       "-csv", "-json", "-timeline", "-export", "-scheduler ", "-num_folds",
                                       "-fold_split", "-plan ")
        )  # fmt: skip
        assert described, entry


@pytest.mark.parametrize("name", [*SCRIPTS, *BENCHMARKS])
def test_help_needs_no_docstring(script, module_of, workplace, monkeypatch, name):
    """`python -OO` drops them."""
    monkeypatch.setattr(module_of(name), "__doc__", None)
    done = script(workplace, name, "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: {name.split('/')[-1]}")


def test_help_under_oo(process, workplace, request):
    done = process(workplace, sys.executable, "-OO", request.config.rootpath / "merge.py", "-h")
    assert (done.code, done.err) == (0, "")
    assert "--allow_missing" in done.out


def test_help_of_train_names_the_defaults_of_the_design(script, workplace):
    text = " ".join(script(workplace, "train.py", "-h").out.split())
    for default in ("momentum", "0.9"), ("eval_freq", "2000"), ("noisy_weight", "0.8"):
        assert f"(default: {default[1]})" in text.split(f"--{default[0]} ")[-1][:200]
    assert "without the flag, a line after ten steps, then one a minute" in text.split("--print_train_freq ")[-1][:200]


@pytest.mark.parametrize("flags", [["-h"], ["--help"], []])
def test_help_of_the_loop_and_no_data_set_which_is_misuse(process, tmp_path, request, flags):
    done = process(tmp_path, "bash", request.config.rootpath / "run.sh", *flags)
    assert done.code == (0 if flags else 2)
    assert "./run.sh DATASET" in done.out or not flags


MISUSE = {  # command line -> what the one line must hold
    "train.py --dataset nope": "nope",
    "merge.py --dataset nope": "nope",
    "loaders/freesound_loader.py --dataset nope": "nope",
    "train.py --arch vgg": "vgg",
    f"{' '.join(['train.py', *TRAIN])} --use_cbam": "--use_cbam",
    "train.py --loss dice": "dice",
    "train.py --loss ce --gamma_fl 2 --dataset tiny": "--gamma_fl 2.0",
    "train.py --split train_curated --noisy_scores predictions --dataset tiny": "--noisy_scores",
    "train.py --plan --resume somewhere.pth": "leave --resume out",
    "train.py --archh resnet18": "--archh",
    "train.py --n_it 5": "--n_it",
    "train.py --batch_size 0": "--batch_size",
    "train.py --n_iter -3": "--n_iter",
    "train.py --l_rate nan": "--l_rate",
    "train.py --l_rate fast": "--l_rate",
    "train.py --dropout_rate 1.5": "--dropout_rate",
    "train.py --split test": "--split",
    "train.py --fold_num 5 --num_folds 5 --dataset tiny": "--fold_num",
    "train.py --fold_num 0 --num_folds 1 --dataset tiny": "--num_folds",
    "train.py --seed 4294967296 --dataset tiny": "--seed",
    "train.py --seed 99999999999999999999999 --dataset tiny": "--seed",
    "train.py --sampling_rate 50 --dataset tiny": "--sampling_rate",
    "loaders/freesound_loader.py --sampling_rate 50 --dataset tiny --jobs 1": "--sampling_rate",
    "loaders/freesound_loader.py --jobs 0": "--jobs",
    "test.py": "--model_path",
    "test.py --model_path x --tta -1": "--tta",
    "test.py --model_path x --arch resnet18": "--arch",
    "test.py --model_path x --split train": "--split",
    "merge.py --mean geometric": "--mean",
    "merge.py --seed x": "--seed",
    "merge.py stray": "stray",
    "report.py --dataset nope": "nope",
    "report.py --clips -1": "--clips",
    "report.py --seconds 0": "--seconds",
    "on_kaggle/pack.py --num_folds 0": "--num_folds",
    "benchmarks/gpu.py --device cpu --modes recorded": "recorded",
}


@pytest.mark.parametrize("command", MISUSE)
def test_misuse_is_one_line_and_exit_code_2(script, workplace, command):
    name, *flags = command.split()
    refused = script(workplace, name, *flags)
    assert refused.code == 2, refused.err
    assert MISUSE[command] in refused.error
    assert refused.error.startswith(name.split("/")[-1])
    assert refused.out == ""


def test_a_crop_that_leaves_batch_norm_one_value_is_misuse_at_the_start(script, module_of, workplace, monkeypatch):
    monkeypatch.setattr(module_of("train.py"), "build_pool", lambda *args: pytest.fail("clips were read before"))
    refused = script(workplace, "train.py", *TRAIN, "--device", "cpu", "--img_cols", 32, "--batch_size", 1)
    assert refused.code == 2
    assert "--batch_size 1" in refused.error
    assert "32 x 32" in refused.error
    monkeypatch.setattr("training.start.join_processes", lambda *args: Processes(0, 4))
    refused = script(workplace, "train.py", *TRAIN, "--device", "cpu", "--img_cols", 32, "--batch_size", 4)
    assert refused.code == 2
    assert "--batch_size 4" in refused.error


@pytest.mark.parametrize("flags", [["--img_cols", 33, "--batch_size", 1], ["--img_cols", 32, "--batch_size", 2]])
def test_the_least_that_batch_norm_can_take_trains(script, workplace, flags):
    done = script(workplace, "train.py", *TRAIN, "--device", "cpu", *flags, "--use_mix_up", "--use_spec_aug")
    assert (done.code, done.err) == (0, "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_device_cuda_without_a_gpu_is_misuse(script, workplace):
    refused = script(workplace, "train.py", *TRAIN, "--device", "cuda")
    assert refused.code == 2
    assert "--device cuda" in refused.error


def no_config(workplace, corpus):
    (workplace / "config.json").unlink()


def no_folder(workplace, corpus):
    (workplace / "config.json").write_text(json.dumps({"tiny": {"data_path": "gone/away"}}))


def unknown_label(workplace, corpus):
    with open(corpus / "train_noisy.csv", "a") as table:
        table.write("oisy00x.wav,Moo\n")


def empty_class(workplace, corpus):
    table = corpus / "sample_submission.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header + ",Moo", *[row + ",0" for row in rows]]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [(no_config, "config.json"), (no_folder, "gone/away"), (unknown_label, "Moo"), (empty_class, "Moo")],
)
@pytest.mark.parametrize("name", ["train.py", "merge.py", "report.py", "loaders/freesound_loader.py"])
def test_a_mistake_in_the_data_is_a_failure_that_names_it(script, spoiled, corpus, spoil, word, name):
    spoil(spoiled, corpus)
    failed = script(spoiled, name, "--dataset", "tiny")
    assert failed.code == 1
    assert word in failed.error


def test_clips_in_the_csv_without_features_are_a_failure_that_names_one(script, spoiled, corpus):
    with open(corpus / "train_curated.csv", "a") as table:
        table.write("nowhere.wav,Hum\n")
    failed = script(spoiled, "train.py", *TRAIN)
    assert failed.code == 1
    assert "nowhere.wav" in failed.error


FAILURES = {  # command line -> what the one line must hold
    "train.py --dataset tiny --img_rows 32 --sampling_rate 22050": (
        "python loaders/freesound_loader.py --dataset tiny --sampling_rate 22050 --img_rows 32"
    ),
    "test.py --model_path nope.pth": "nope.pth",
    "train.py --resume nope.pth": "nope.pth",
    "tag.py x.wav --model_path nope.pth": "nope.pth",
    f"{' '.join(['train.py', *TRAIN])} --device cpu --checkpoint_dir x.wav": "x.wav",
}


@pytest.mark.parametrize("command", FAILURES)
def test_a_failure_is_one_line_and_exit_code_1(script, workplace, command):
    (workplace / "x.wav").touch()
    failed = script(workplace, *command.split())
    assert failed.code == 1
    assert FAILURES[command] in failed.error


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        ("train.py --dataset tiny --fold_num 7", 2, "--fold_num"),
        ("test.py --model_path data/bomb.pth", 1, "bomb.pth"),
        ("merge.py --dataset tiny", 1, "test.py"),
    ],
)
def test_in_a_process_of_its_own_too(process, workplace, command, code, word):
    """The other tests run the scripts within this process, where they share its warnings and imports."""
    (workplace / "data").mkdir()
    (workplace / "data/bomb.pth").write_bytes(b"\x80\x05cos\nsystem\n.")
    failed = process(workplace, *command.split())
    assert failed.code == code
    assert word in failed.error
