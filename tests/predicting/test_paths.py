"""File names of a run: those that the seed's commands name."""

from argparse import Namespace

from predicting.paths import checkpoint_path, log_path, prediction_path

ARGS = Namespace(
    arch="resnet18", dataset="freesound", img_rows=128, img_cols=197, sampling_rate=44100, fold_num=3, num_folds=5,
    checkpoint_dir="checkpoints",
)  # fmt: skip


def test_names_are_those_of_the_seed():
    assert str(checkpoint_path(ARGS, "best")) == "checkpoints/resnet18_freesound_best_128x197_44100_3-5_model.pth"
    assert str(log_path(ARGS)) == "checkpoints/resnet18_freesound_128x197_44100_3-5_log.jsonl"
    assert str(prediction_path(ARGS, "p", "val")) == "p/resnet18_freesound_val_128x197_44100_3-5.npz"
