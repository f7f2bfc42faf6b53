"""Tiny data sets laid out as the real ones are published, with their quirks: 12 training clips of 3 classes or more."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

from loaders.layouts import Corpus

KINDS = ["Hum", "Rain", "Whistle"]  # of sounds, and the labels where the data set does not have its own
SECONDS, RATE = 0.4, 16000


def text(path: Path, lines: list[str], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode())


def fsdkaggle2018(root: Path) -> list[str]:
    """As Zenodo has it: two clips of Freesound's sound 7, the second of them not verified."""
    verified = [1, 1, 0] * 4
    rows = [f"a{i:02}.wav,{KINDS[i % 3]},{verified[(i // 3)]},{i if i != 9 else 7},CC0" for i in range(12)]
    meta = root / "FSDKaggle2018.meta"
    text(meta / "train_post_competition.csv", ["fname,label,manually_verified,freesound_id,license", *rows])
    tests = [f"b{i}.wav,{KINDS[i % 3]},{['Public', 'Private'][i % 2]},{100 + i},CC0" for i in range(4)]
    text(meta / "test_post_competition_scoring_clips.csv", ["fname,label,usage,freesound_id,license", *tests])
    tests = [f"FSDKaggle2018.audio_test/b{i}.wav" for i in range(4)]
    return [f"FSDKaggle2018.audio_train/a{i:02}.wav" for i in range(12)] + tests


def fsdkaggle2018_of_kaggle(root: Path) -> list[str]:
    """As Kaggle had it, with the sample submission that names labels."""
    rows = [f"a{i:02}.wav,{KINDS[i % 3]},{int(i < 9)}" for i in range(12)]
    text(root / "train.csv", ["fname,label,manually_verified", *rows], "\r\n")
    sample = [f"b{i}.wav,Laughter Hi-Hat Flute" for i in (2, 0, 1)]
    text(root / "sample_submission.csv", ["fname,label", *sample])
    return [f"audio_train/a{i:02}.wav" for i in range(12)] + [f"audio_test/b{i}.wav" for i in range(3)]


def fsdnoisy18k(root: Path) -> list[str]:
    """A label is in quotes, a third of the clips is verified."""
    rows = [f'{900 + i}.wav,"{KINDS[i % 3]}",/m/{i % 3},{int(i < 6)},{int(i == 7)}' for i in range(12)]
    meta = root / "FSDnoisy18k.meta"
    text(meta / "train.csv", ["fname,label,aso_id,manually_verified,noisy_small", *rows])
    text(meta / "test.csv", ["fname,label,aso_id", *[f"{i}.wav,{KINDS[i % 3]},/m/{i % 3}" for i in range(4)]])
    tests = [f"FSDnoisy18k.audio_test/{i}.wav" for i in range(4)]
    return [f"FSDnoisy18k.audio_train/{900 + i}.wav" for i in range(12)] + tests


def fsd50k(root: Path) -> list[str]:
    """Names without suffix, labels with their parent, a vocabulary without header, Windows line ends."""
    tables, dev = root / "FSD50K.ground_truth", []
    for i in range(12):
        labels = KINDS[i % 3] if i % 3 == 0 else f"{KINDS[i % 3]},Noise"
        dev.append(f'{64760 + i},"{labels}","/m/1,/m/2",{"val" if i >= 8 else "train"}')
    text(tables / "dev.csv", ["fname,labels,mids,split", *dev], "\r\n")
    tests = [f'{i},"{KINDS[1 + i % 2]},Noise","/m/1"' for i in range(4)]
    text(tables / "eval.csv", ["fname,labels,mids", *tests], "\r\n")
    names = ["Hum", "Noise", "Rain", "Whistle"]
    text(tables / "vocabulary.csv", [f"{i},{name},/m/0{i}" for i, name in enumerate(names)], "\r\n")
    return [f"FSD50K.dev_audio/{64760 + i}.wav" for i in range(12)] + [f"FSD50K.eval_audio/{i}.wav" for i in range(4)]


def esc50(root: Path) -> list[str]:
    """Two folds out of five; the classes are not in the order of their names; two takes of each recording."""
    rows, fnames = [], []
    for i in range(12):
        fold, target, take = 1 + i % 2, 40 - i // 2 % 3, "AB"[i // 6]
        fnames.append(f"{fold}-{100 + i % 6}-{take}-{target}.wav")
        rows.append(f"{fnames[-1]},{fold},{target},{['rain', 'hum', 'crow'][i // 2 % 3]},True,{100 + i % 6},{take}")
    text(root / "meta" / "esc50.csv", ["filename,fold,target,category,esc10,src_file,take", *rows])
    return [f"audio/{fname}" for fname in fnames]


def urbansound8k(root: Path) -> list[str]:
    """Three folds out of ten, in folders of their own; the classes in the order of classID."""
    rows, fnames = [], []
    for i in range(12):
        fold, number = 1 + i // 4, i % 2
        fnames.append(f"{500 + i // 2}-{number}-0-{i % 2}.wav")
        rows.append(f"{fnames[-1]},{500 + i // 2},0.0,4.0,1,{fold},{number},{['siren', 'air_conditioner'][number]}")
        fnames[-1] = f"fold{fold}/{fnames[-1]}"
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    text(root / "metadata" / "UrbanSound8K.csv", [header, *rows])
    return [f"audio/{fname}" for fname in fnames]


def own_csv(root: Path) -> list[str]:
    """Several labels, folds by name, groups; a test folder, no sample file."""
    rows = [
        f'a{i:02}.wav,"{KINDS[i % 3]}{",Loud" if i % 4 == 0 else ""}",{["north", "south"][i % 2]},site {i % 4}'
        for i in range(12)
    ]
    text(root / "train.csv", ["fname,labels,fold,group", *rows])
    return [f"train/a{i:02}.wav" for i in range(12)] + ["test/x.wav", "test/deep/y.wav"]


def folders(root: Path) -> list[str]:
    """No table at all."""
    return [f"train/{KINDS[i % 3]}/a{i:02}.wav" for i in range(12)] + ["test/x.wav"]


PUBLISHED: dict[str, Callable[[Path], list[str]]] = {
    made.__name__: made
    for made in (fsdkaggle2018, fsdkaggle2018_of_kaggle, fsdnoisy18k, fsd50k, esc50, urbansound8k, own_csv, folders)
}


def publish(root: Path, name: str, sound: Callable[..., np.ndarray] | None = None) -> Path:
    """Write the tables of a data set of that name and, with `sound`, its clips; returns root."""
    rng = np.random.default_rng(0)
    for i, fname in enumerate(PUBLISHED[name](root)):
        path = root / fname
        path.parent.mkdir(parents=True, exist_ok=True)
        if sound:
            sf.write(path, sound(rng, KINDS[i % 3], SECONDS, RATE), RATE)
        else:
            path.touch()
    return root


def labels(corpus: Corpus, split: str) -> dict[str, list[str]]:
    """{clip: its labels}."""
    subset = corpus.subset(split)
    rows = zip(subset.fnames, subset.truth, strict=True)
    return {fname: [n for n, true in zip(corpus.class_names, row, strict=True) if true] for fname, row in rows}
