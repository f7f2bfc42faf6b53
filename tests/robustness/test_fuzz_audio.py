"""Some dozens of broken sound files, of every kind: the good ones are used, the bad ones named with their reason."""

from tests.robustness.audio_mutants import DAMAGES
from tests.robustness.fuzz_audio import GOOD, attack

MUTANTS = 180


def test_good_sounds_are_used_and_bad_ones_named(peace, tmp_path):
    clips, first, _, problems = attack(tmp_path, MUTANTS, seed=0, python=peace[0].python)
    assert problems == []
    assert len(clips) == GOOD + MUTANTS == len(first.used) + len(first.refused)
    assert {clip.kind for clip in clips} >= set(DAMAGES)
