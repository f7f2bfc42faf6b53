"""Help and misuse of every script: one line on stderr that says what is wrong, no traceback, the right exit code."""

import json
import shlex
from pathlib import Path

import pytest
import torch

SCRIPTS = ["train.py", "test.py", "merge.py", "report.py", "tag.py", "loaders/freesound_loader.py", "on_kaggle/pack.py"]
ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = [
    f"benchmarks/{path.name}"
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "make_parser(" in path.read_text(encoding="utf-8")
]
TINY = shlex.split("--dataset tiny --img_rows 32 --sampling_rate 16000")
TRAIN = [*TINY, *shlex.split("--arch mobilenet_v3_small --img_cols 64 --n_iter 1 --batch_size 4 --num_folds 2")]


@pytest.mark.parametrize("name", [*SCRIPTS, *BENCHMARKS])
def test_help_shows_an_example_and_defaults_and_needs_no_docstring(script, module_of, workplace, monkeypatch, name):
    done = script(workplace, name, "-h")
    assert (done.code, done.err) == (0, "")
    assert f"python {name}" in done.out[done.out.index("\nexample:\n") :]
    assert "(default: " in done.out
    monkeypatch.setattr(module_of(name), "__doc__", None)  # as `python -OO` does
    done = script(workplace, name, "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: {Path(name).name}")


def test_help_of_train_names_the_defaults_of_the_design(script, workplace):
    text = " ".join(script(workplace, "train.py", "-h").out.split())
    for default in ("momentum", "0.9"), ("eval_freq", "2000"), ("noisy_weight", "0.8"):
        assert f"(default: {default[1]})" in text.split(f"--{default[0]} ")[-1][:200]
    assert "without the flag, a line after ten steps, then one a minute" in text.split("--print_train_freq ")[-1][:200]


MISUSE = {  # script -> its flags; the one line must hold the first of them or its value
    "train.py": [
        "--dataset nope", "--arch vgg", f"--use_cbam {' '.join(TRAIN)}", "--loss dice",
        "--gamma_fl 2.0 --loss ce --dataset tiny",
        "--noisy_scores predictions --split train_curated --dataset tiny",
        "--archh resnet18", "--n_it 5", "--batch_size 0", "--n_iter -3", "--l_rate nan", "--l_rate fast",
        "--dropout_rate 1.5", "--split test", "--fold_num 5 --num_folds 5 --dataset tiny",
        "--num_folds 1 --dataset tiny",
        "--seed 4294967296", "--seed 99999999999999999999999", "--sampling_rate 50",
        *([] if torch.cuda.is_available() else [f"--device cuda {' '.join(TRAIN)}"]),
    ],
    "loaders/freesound_loader.py": ["--dataset nope", "--sampling_rate 50", "--jobs 0"],
    "test.py": ["--model_path", "--tta -1 --model_path x", "--arch resnet18 --model_path x", "--split train"],
    "merge.py": ["--dataset nope", "--mean geometric", "--seed x", "stray"],
    "report.py": ["--dataset nope", "--clips -1", "--seconds 0"],
    "on_kaggle/pack.py": ["--num_folds 0"],
    "benchmarks/gpu.py": ["--modes recorded --device cpu"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "flags"), [(name, flags) for name in MISUSE for flags in MISUSE[name]])
def test_misuse_is_one_line_and_exit_code_2(script, workplace, name, flags):
    outcome = script(workplace, name, *flags.split())
    assert any(word in outcome.refused(2) for word in flags.split()[:2])
    assert outcome.error.startswith(name.split("/")[-1])
    assert outcome.out == ""


def test_a_crop_that_leaves_batch_norm_one_value_is_one_line(script, workplace):
    outcome = script(workplace, "train.py", *TRAIN, "--device", "cpu", "--img_cols", 32, "--batch_size", 1)
    assert "--batch_size or --img_cols" in outcome.refused()


@pytest.mark.parametrize("flags", [["--img_cols", 33, "--batch_size", 1], ["--img_cols", 32, "--batch_size", 2]])
def test_the_least_that_batch_norm_can_take_trains(script, workplace, flags):
    done = script(workplace, "train.py", *TRAIN, "--device", "cpu", *flags, "--use_mix_up", "--use_spec_aug")
    assert (done.code, done.err) == (0, "")


def spoil(workplace, corpus, what: str) -> None:
    sample = corpus / "sample_submission.csv"
    if what == "config.json":
        (workplace / "config.json").unlink()
    elif what == "gone/away":
        (workplace / "config.json").write_text(json.dumps({"tiny": {"data_path": "gone/away"}}))
    elif what == "Moo has no clip":
        sample.write_text("\n".join(row + (",0" if i else ",Moo") for i, row in enumerate(sample.read_text().split())))
    else:
        with open(corpus / "train_noisy.csv", "a") as table:
            table.write("nowhere.wav,Hum\n" if what == "nowhere.wav" else "oisy00x.wav,Moo\n")


MISTAKES = ["config.json", "gone/away", "Moo has no clip", "Moo is no class"]
NAMES = ["train.py", "merge.py", "report.py", "loaders/freesound_loader.py"]


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name in NAMES for what in MISTAKES] + [("train.py", "nowhere.wav")]
)
def test_a_mistake_in_the_data_is_a_failure_that_names_it(script, spoiled, corpus, what, name):
    spoil(spoiled, corpus, what)
    assert what.split()[0] in script(spoiled, name, *(TRAIN if name == "train.py" else ["--dataset", "tiny"])).refused()


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
    assert FAILURES[command] in script(workplace, *command.split()).refused()


def test_in_a_process_of_its_own_and_on_a_terminal_that_knows_ascii_only(process, workplace):
    """The other tests run the scripts within this process, where they share its warnings and imports."""
    failed = process(workplace, "test.py", "--model_path", "größe.pth", PYTHONIOENCODING="ascii:strict")
    assert r"gr\xf6\xdfe.pth" in failed.refused()
