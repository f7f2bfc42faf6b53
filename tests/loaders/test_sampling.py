"""Which clips are in which batch."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from loaders.sampling import Sampler

SHARES = st.floats(0.01, 1.0)


def visited(sampler: Sampler, batches: int) -> np.ndarray:
    return np.concatenate([sampler.batch(number) for number in range(batches)])


def test_an_epoch_visits_every_clip_once_even_across_batches():
    order = visited(Sampler(7, 18, batch_size=5, seed=1), 18)
    assert [sorted(epoch) for epoch in order.reshape(5, 18)] == [list(range(18))] * 5
    assert (order[:18] != order[18:36]).any()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 20), SHARES)
def test_every_batch_is_whole_and_shares_are_kept(n_first, n_rest, batch_size, share):
    assume(share > n_first / (n_first + n_rest))
    sampler = Sampler(n_first, n_first + n_rest, batch_size, seed=1, curated_share=share)
    batches = [sampler.batch(number) for number in range(12)]
    assert {len(batch) for batch in batches} == {batch_size}
    for number, batch in enumerate(batches):
        assert abs((batch < n_first).sum() - share * batch_size) < 1.5, number
    first = np.concatenate(batches)[np.concatenate(batches) < n_first]
    assert abs(len(first) - share * 12 * batch_size) <= 1
    counts = np.bincount(first, minlength=n_first)
    assert counts.max() - counts.min() <= 1  # epochs of its own: no clip twice before all were there once


def test_a_share_below_that_of_the_clips_changes_nothing():
    np.testing.assert_array_equal(visited(Sampler(9, 12, 4, 1, 0.5), 3), visited(Sampler(9, 12, 4, 1), 3))


@given(SHARES, SHARES | st.just(0.0))
def test_the_share_changes_with_the_number_of_the_batch_alone(before, after):
    whole = Sampler(9, 25, 8, 1, before, after, final_from=3)
    parts = [Sampler(9, 25, 8, 1, before if number < 3 else after).batch(number) for number in range(6)]
    np.testing.assert_array_equal(visited(whole, 6), np.concatenate(parts))
