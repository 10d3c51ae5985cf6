from __future__ import annotations

import numpy as np
import pytest

from snnjax.data.speech import SpeechAugment

B, T, C = 64, 20, 8


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    count = rng.integers(5, T + 1, B).astype(np.int32)
    frames = rng.uniform(0.5, 1.0, (B, T, C)).astype(np.float32)
    frames[np.arange(T) >= count[:, None]] = 0
    return frames, count


def streams(seed: int = 1) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, b]) for b in range(B)]


def test_by_default_nothing_changes(batch) -> None:
    frames, count = SpeechAugment()(*batch, streams())
    np.testing.assert_array_equal(frames, batch[0])
    np.testing.assert_array_equal(count, batch[1])


@pytest.mark.parametrize(("name", "axis"), [("time_shift", 0), ("channel_shift", 1)])
def test_a_shift_moves_all_frames_alike_and_lets_zeros_in(batch, name: str, axis: int) -> None:
    largest, seen = 3, set()
    got, count = SpeechAugment(**{name: largest})(*batch, streams())
    for b in range(B):
        found = []
        for by in range(-largest, largest + 1):
            want = np.roll(batch[0][b], by, axis=axis)
            empty = slice(0, by) if by >= 0 else slice(by, None)
            want[(slice(None),) * axis + (empty,)] = 0
            if np.array_equal(got[b], want):
                found.append(by)
        assert len(found) == 1
        seen.add(found[0])
        if axis == 0:
            assert count[b] == min(batch[1][b] + found[0], T)
            assert not got[b, count[b] :].any()
    assert seen == set(range(-largest, largest + 1))


@pytest.mark.parametrize(("name", "axis"), [("time_mask", 0), ("channel_mask", 1)])
def test_a_mask_is_one_stretch(batch, name: str, axis: int) -> None:
    full = np.ones((B, T, C), np.float32)
    got, _ = SpeechAugment(**{name: 4})(full, np.full(B, T, np.int32), streams())
    widths = set()
    for sample in got:
        line = sample.all(axis=1 - axis)
        np.testing.assert_array_equal(sample, np.expand_dims(line, 1 - axis) * np.ones((T, C)))
        holes = np.flatnonzero(~line)
        assert len(holes) == 0 or holes[-1] - holes[0] == len(holes) - 1
        widths.add(len(holes))
    assert widths == {0, 1, 2, 3, 4}


def test_noise_stays_within_the_recording(batch) -> None:
    got, _ = SpeechAugment(noise=0.3)(*batch, streams())
    inside = np.arange(T) < batch[1][:, None]
    change = (got - batch[0])[inside]
    assert abs(change.std() - 0.3) < 0.01
    assert not got[~inside].any()


def test_a_sample_depends_on_its_own_draws_alone(batch) -> None:
    augment = SpeechAugment(time_shift=3, channel_shift=2, noise=0.1, time_mask=4, channel_mask=2)
    whole, counts = augment(*batch, streams())
    part, count = augment(batch[0][7:9], batch[1][7:9], streams()[7:9])
    np.testing.assert_array_equal(part, whole[7:9])
    np.testing.assert_array_equal(count, counts[7:9])
    assert not np.array_equal(whole, augment(*batch, streams(2))[0])


def test_a_negative_amount_or_half_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="`noise` must be finite and at least 0; got -1"):
        SpeechAugment(noise=-1)
    with pytest.raises(ValueError, match=r"`time_shift` must be an integer; got 1\.5"):
        SpeechAugment(time_shift=1.5)
