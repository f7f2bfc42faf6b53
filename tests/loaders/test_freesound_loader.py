"""A fold's batches, targets and held-out clips."""

import json
import shlex
import shutil
from collections import Counter

import numpy as np
import pytest
import torch

from loaders import freesound_loader
from loaders.freesound_loader import soften, usable_clips
from loaders.layouts import read_corpus
from loaders.pcen import AudioSettings
from utils.errors import UserError
from utils.prediction_file import Predictions

SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)
ODD = {"ated03.wav", "ated07.wav"}  # stand in for the mislabelled clips of FSDKaggle2019


def test_a_noisy_target_is_080_on_each_listed_label_and_spreads_the_rest():
    targets = soften(np.array([[1, 0, 0, 0], [0, 1, 1, 0]], bool), 0.8)
    np.testing.assert_allclose(targets, [[0.8] + [0.2 / 3] * 3, [0.1, 0.8, 0.8, 0.1]], rtol=1e-6)


def test_a_noisy_target_with_all_labels_is_finite():
    np.testing.assert_allclose(soften(np.ones((1, 3), bool), 0.8), [[0.8] * 3], rtol=1e-6)


def test_curated_targets_are_hard_and_noisy_ones_soft(make_loader, template):
    loader, corpus = make_loader(), read_corpus(template)
    curated, noisy = corpus.subset("train_curated"), corpus.subset("train_noisy")
    for fname, target in zip(loader.clips.fnames, loader.targets.numpy(), strict=True):
        if fname in curated.fnames:
            expected = curated.truth_of([fname]).astype(np.float32)
        else:
            expected = soften(noisy.truth_of([fname]), 0.8)
        np.testing.assert_array_equal(target, expected[0])


def test_the_confidence_in_noisy_labels_can_be_chosen(make_loader):
    assert make_loader(split="train_noisy", noisy_weight=1.0).targets.unique().tolist() == [0, 1]


def test_every_fold_trains_on_the_other_folds_and_all_noisy_clips(make_loader, template):
    corpus = read_corpus(template)
    curated, noisy = set(corpus.subset("train_curated").fnames), set(corpus.subset("train_noisy").fnames)
    held_out = []
    for fold in range(3):
        loader = make_loader(fold_num=fold, num_folds=3)
        held_out += loader.held_out.fnames
        assert set(loader.clips.fnames) == (curated - set(loader.held_out.fnames)) | noisy
    assert sorted(held_out) == sorted(curated)


def test_noisy_clips_can_be_chosen_by_what_a_first_network_thinks_of_them(make_loader, template):
    noisy = read_corpus(template).subset("train_noisy")
    believed = np.arange(len(noisy.fnames)) % 3 > 0
    scores = np.where(noisy.truth == believed[:, None], 0.9, 0.1).astype(np.float32)
    loader = make_loader(noisy_scores=Predictions(scores, noisy.fnames, read_corpus(template).class_names, {}))
    curated = make_loader(split="train_curated").clips.fnames
    assert loader.clips.fnames == curated + [noisy.fnames[i] for i in np.flatnonzero(believed)]
    assert len(loader.targets) == len(loader.clips)


def test_where_no_noisy_clip_is_believed_the_curated_ones_stay(make_loader, template):
    noisy = read_corpus(template).subset("train_noisy")
    doubts = Predictions(1 - noisy.truth.astype(np.float32), noisy.fnames, read_corpus(template).class_names, {})
    loader = make_loader(noisy_scores=doubts, noisy_precision=1.0, curated_share=0.75)
    assert loader.clips.fnames == make_loader(split="train_curated").clips.fnames
    assert loader.batch(0)[0].shape[0] == 4
    with pytest.raises(UserError, match="no clip"):
        make_loader(split="train_noisy", noisy_scores=doubts, noisy_precision=1.0)


def test_held_out_clips_go_with_their_labels(make_loader, template):
    loader = make_loader()
    truth = read_corpus(template).subset("train_curated").truth_of(loader.held_out.fnames)
    np.testing.assert_array_equal(loader.held_out_truth, truth)


def test_splits_choose_the_training_clips_but_not_the_held_out_ones(make_loader):
    both, curated, noisy = (make_loader(split=split) for split in ("train", "train_curated", "train_noisy"))
    assert both.clips.fnames == curated.clips.fnames + noisy.clips.fnames
    assert both.held_out.fnames == curated.held_out.fnames == noisy.held_out.fnames


def test_mislabelled_clips_count_as_noisy_and_are_never_held_out(make_loader, monkeypatch):
    monkeypatch.setattr(freesound_loader, "MISLABELLED", ODD)
    for fold in range(2):
        loader = make_loader(fold_num=fold)
        assert not ODD & set(loader.held_out.fnames)
        targets = dict(zip(loader.clips.fnames, loader.targets.numpy(), strict=True))
        for fname in ODD:
            assert targets[fname].max() == np.float32(0.8)


def test_the_mislabelled_clips_are_the_originals_six():
    names = ["f76181c4", "77b925c2", "6a1f682a", "c7db12aa", "7752cc8a", "1d44b0bd"]
    assert {f"{name}.wav" for name in names} == freesound_loader.MISLABELLED


def test_a_batch_depends_on_the_seed_and_its_number_alone(make_loader):
    first, again, other = make_loader(), make_loader(), make_loader(seed=2)
    again.batch(3)
    for number in (0, 5):
        for one, two in zip(first.batch(number), again.batch(number), strict=True):
            assert torch.equal(one, two)
    assert not torch.equal(first.batch(0)[0], other.batch(0)[0])
    assert not torch.equal(first.batch(0)[0], first.batch(1)[0])


def test_a_batch_has_the_shape_of_the_network_and_of_the_loss(make_loader):
    inputs, targets = make_loader().batch(0)
    assert (inputs.shape, inputs.dtype) == ((4, 1, 32, 64), torch.float32)
    assert (targets.shape, targets.dtype) == ((4, 4), torch.float32)


def test_the_share_of_curated_clips_in_a_batch_can_be_chosen(make_loader, template):
    curated = len(make_loader(split="train_curated").clips)
    loader = make_loader(batch_size=8, curated_share=0.75)
    chosen = np.stack([loader.sampler.batch(number) for number in range(5)])
    assert ((chosen < curated).sum(axis=1) == 6).all()
    natural = make_loader(batch_size=8)
    for alone in (make_loader(batch_size=8, curated_share=0.05), natural):
        np.testing.assert_array_equal(alone.sampler.batch(3), natural.sampler.batch(3))
    curated_only = make_loader(split="train_curated", batch_size=8, curated_share=0.5)
    assert curated_only.sampler.batch(0).max() < curated


def test_a_batch_larger_than_the_data_set_goes_on_with_the_next_epoch(make_loader):
    inputs, _ = make_loader(batch_size=50).batch(0)
    assert len(inputs) == 50


def test_inputs_and_targets_of_a_batch_belong_together(make_loader):
    loader = make_loader(width=10)
    chosen = loader.sampler.batch(1)
    inputs, targets = loader.batch(1)
    assert torch.equal(targets, loader.targets[torch.from_numpy(chosen)])
    for clip, crop in zip(chosen, inputs, strict=True):
        whole = loader.clips.crops(np.array([clip]), np.array([0]), int(loader.clips.lengths[clip]), loader.device)[0]
        assert any(torch.equal(whole[:, :, i : i + 10], crop) for i in range(whole.shape[2] - 9))


def test_crops_start_anywhere_from_the_first_to_the_last_frame(make_loader):
    loader = make_loader(width=int(make_loader().clips.lengths.min()) - 2, split="train_noisy", batch_size=300)
    clip = int(loader.clips.lengths.argmin())
    starts = [loader.clips.crops(np.array([clip]), np.array([i]), loader.width, loader.device)[0] for i in range(3)]
    inputs, _ = loader.batch(0)
    seen = Counter(i for crop in inputs for i, start in enumerate(starts) if torch.equal(crop, start))
    assert set(seen) == {0, 1, 2}


def test_the_prior_is_each_classs_share_of_the_training_targets(make_loader):
    loader = make_loader()
    assert loader.prior.sum() == pytest.approx(1)
    np.testing.assert_allclose(loader.prior, loader.targets.sum(0).numpy() / loader.targets.sum().item(), rtol=1e-6)


def test_an_ordinary_data_set_needs_no_noisy_clips(make_loader, corpus, workplace):
    (corpus / "train_noisy.csv").unlink()
    (workplace / "config.json").write_text(json.dumps({"tiny": {"data_path": str(corpus)}}))
    assert len(make_loader().clips) == 10
    with pytest.raises(UserError, match="no train_noisy clips"):
        make_loader(split="train_noisy")


def test_unusable_clips_are_in_no_fold(make_loader, corpus, workplace, script):
    (corpus / "train_curated" / "ated04.wav").write_bytes(b"")
    (workplace / "config.json").write_text(json.dumps({"tiny": {"data_path": str(corpus)}}))
    flags = shlex.split("--dataset tiny --sampling_rate 16000 --img_rows 32 --jobs 1")
    assert script(workplace, "loaders/freesound_loader.py", *flags).code == 0
    for fold in range(2):
        loader = make_loader(fold_num=fold)
        assert "ated04.wav" not in loader.clips.fnames + loader.held_out.fnames


def test_a_clip_that_the_features_do_not_hold_is_named_with_the_command(make_loader, corpus, workplace):
    with open(corpus / "train_curated.csv", "a") as table:
        table.write("new.wav,Hum\n")
    (workplace / "config.json").write_text(json.dumps({"tiny": {"data_path": str(corpus)}}))
    with pytest.raises(UserError) as error:
        make_loader()
    assert "new.wav" in str(error.value)
    assert "run: python loaders/freesound_loader.py --dataset tiny --sampling_rate 16000 --img_rows 32" in str(
        error.value
    )


def test_usable_clips_come_in_the_order_asked_for(make_loader):
    make_loader()  # takes the test to its folder
    clips = usable_clips("tiny", "test", ["test03.wav", "test01.wav"], SETTINGS)
    assert clips.fnames == ["test03.wav", "test01.wav"]


def test_more_folds_than_clips_are_refused(make_loader):
    with pytest.raises(UserError, match="--num_folds 21: there are only 20 curated clips"):
        make_loader(num_folds=21)


def test_a_class_that_a_fold_cannot_hold_out_is_told(make_loader, capsys, monkeypatch):
    monkeypatch.setattr(freesound_loader, "assign_folds", lambda truth, *rest: np.arange(len(truth)) // 10)
    monkeypatch.setattr(freesound_loader, "uncovered", lambda *arguments: [(1, 2)])
    make_loader()
    assert capsys.readouterr().err == "fold 1 holds out no clip of Rain\n"


def test_features_may_lie_elsewhere(make_loader, template, workplace, tmp_path):
    bare = shutil.copytree(template, tmp_path / "bare", ignore=shutil.ignore_patterns("features"))
    entry = {"data_path": str(bare), "features_path": str(template / "features")}
    (workplace / "config.json").write_text(json.dumps({"tiny": entry}))
    assert len(make_loader().clips) == 18


def test_held_out_clips_are_taken_from_where_the_training_clips_lie(make_loader):
    loader = make_loader(split="train")
    curated, noisy = loader.clips.packs
    assert loader.held_out.packs == (curated,)
    assert noisy is not curated
