"""A data set whose name is a pattern to a shell: every script that looks for its files finds them, and only those."""

import json

import pytest

NAME = "birds[2024]"
SIZE = ["--dataset", NAME, "--img_rows", 32, "--img_cols", 64]


@pytest.fixture(scope="module")
def birds(tmp_path_factory, template, script, tiny_flags):
    """A folder in which both folds were trained, and predicted."""
    folder = tmp_path_factory.mktemp("birds")
    (folder / "config.json").write_text(json.dumps({NAME: {"data_path": str(template)}}))
    flags = [NAME if flag == "tiny" else flag for flag in tiny_flags]
    for fold in range(2):
        done = script(folder, "train.py", *flags, "--n_iter", 1, "--fold_num", fold)
        assert done.code == 0, done.err
        best = f"checkpoints/mobilenet_v3_small_{NAME}_best_32x64_16000_{fold}-2_model.pth"
        for split in ("test", "val"):
            done = script(folder, "test.py", "--model_path", best, "--no-use_cuda", "--split", split, "--tta", 1)
            assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize("split", ["test", "val"])
def test_merge_finds_the_predictions(birds, script, split):
    done = script(birds, "merge.py", *SIZE, "--split", split)
    assert (done.code, done.err) == (0, "")


def test_the_report_finds_the_predictions(birds, script):
    done = script(birds, "report.py", *SIZE, "--clips", 0, "--noisy_clips", 0)
    assert done.code == 0, done.err
    assert NAME in (birds / "report.html").read_text()


def test_tag_finds_the_checkpoints(birds, script, template):
    done = script(birds, "tag.py", template / "test", "--no-use_cuda", "--tta", 1)
    assert (done.code, done.err) == (0, "")


def test_the_pack_for_kaggle_finds_the_checkpoints(birds, script):
    done = script(birds, "on_kaggle/pack.py", "--dataset", NAME, "--num_folds", 2, "--no-wheels")
    assert done.code == 0, done.err
    assert len(json.loads((birds / "kaggle_dataset/pack.json").read_text())["checkpoints"]) == 2
