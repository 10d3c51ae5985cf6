from __future__ import annotations

import numpy as np
import pytest

from snnjax.data.speech import bin_events
from snnjax.data.speech.bins import sum_frames


def test_counts_are_those_of_a_loop_and_no_spike_is_lost() -> None:
    rng = np.random.default_rng(0)
    times, units = rng.uniform(0, 0.5, 3000), rng.integers(0, 700, 3000)
    want = np.zeros((50, 140), int)
    for time, unit in zip(times, units, strict=True):
        want[int(time * 100), unit // 5] += 1
    got = bin_events(times, units, total=700, channels=140, frame_ms=10.0)
    np.testing.assert_array_equal(got, want)
    assert got.sum() == 3000
    assert got.dtype == np.uint8


def test_counts_that_need_it_are_wider() -> None:
    got = bin_events(np.zeros(300), np.zeros(300, int), total=2, channels=2, frame_ms=10.0)
    assert (got.dtype, got.tolist()) == (np.uint16, [[300, 0]])


def test_a_spike_on_a_border_opens_the_next_frame() -> None:
    """0.29 s / 10 ms is 28.999999999999996 in floating point."""
    for frame in range(1, 100):
        counts = bin_events(
            np.array([frame / 100]), np.array([0]), total=1, channels=1, frame_ms=10.0
        )
        assert len(counts) == frame + 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("frame_ms", [1.0, 4.0, 5.0, 10.0])
def test_borders_in_any_dtype_open_the_next_frame(dtype, frame_ms) -> None:
    """k * 5 ms is rounded to the dtype before anybody bins it."""
    steps = 60 if dtype == np.float16 else 1000
    both = np.arange(steps) * (frame_ms / 1000), np.arange(steps, dtype=dtype) * (frame_ms / 1000)
    for times in both[:1] if dtype == np.float16 else both:  # float16 is stored, not computed in
        times = times.astype(dtype)
        counts = bin_events(times, np.zeros(steps, int), total=1, channels=1, frame_ms=frame_ms)
        np.testing.assert_array_equal(counts, np.ones((steps, 1)))
    inside = (np.arange(steps) + 0.9) * (frame_ms / 1000)
    counts = bin_events(inside, np.zeros(steps, int), total=1, channels=1, frame_ms=frame_ms)
    np.testing.assert_array_equal(counts, np.ones((steps, 1)))


def test_no_count_is_clipped() -> None:
    got = bin_events(np.zeros(70_000), np.zeros(70_000, int), total=1, channels=1, frame_ms=10.0)
    assert (got.dtype, got.tolist()) == (np.uint32, [[70_000]])


@pytest.mark.parametrize(
    ("times", "units", "words"),
    [
        ([0.0, 0.1], [0, 4], r"integers in 0\.\.3; got 0 to 4"),
        ([0.0, 0.1], [-1, 2], r"integers in 0\.\.3; got -1 to 2"),
        ([0.0, 0.1], [0.5, 2], r"integers in 0\.\.3; got 0\.5"),
        ([-0.1, 0.1], [0, 1], r"at least 0 s; got -0\.1 to 0\.1"),
        ([np.nan, 0.1], [0, 1], "must be finite"),
        ([0.1], [0, 1], r"must both be \[E\]; got shapes \(1,\) and \(2,\)"),
    ],
)
def test_events_that_no_recording_has_are_refused(times, units, words) -> None:
    with pytest.raises(ValueError, match=words):
        bin_events(np.array(times), np.array(units), total=4, channels=2, frame_ms=10.0)


def test_no_spikes_make_no_frames() -> None:
    got = bin_events(np.zeros(0), np.zeros(0, int), total=700, channels=70, frame_ms=10.0)
    assert got.shape == (0, 70)


def test_channels_that_do_not_divide_the_units_are_refused() -> None:
    with pytest.raises(ValueError, match=r"divide the 12 units; got 5.*1, 2, 3, 4, 6, 12"):
        bin_events(np.zeros(1), np.zeros(1, int), total=12, channels=5, frame_ms=10.0)
    with pytest.raises(ValueError, match="frame_ms must be above 0"):
        bin_events(np.zeros(1), np.zeros(1, int), total=12, channels=6, frame_ms=0.0)


@pytest.mark.parametrize("steps", [0, 1, 9, 10, 11])
def test_frames_sum_their_steps(steps: int) -> None:
    spikes = np.random.default_rng(steps).integers(0, 2, (steps, 3)).astype(np.uint8)
    want = [spikes[i : i + 10].sum(axis=0) for i in range(0, steps, 10)]
    np.testing.assert_array_equal(sum_frames(spikes, 10), np.reshape(want, (-1, 3)))


def test_sums_of_frames_do_not_wrap() -> None:
    got = sum_frames(np.full((300, 1), 250, np.uint8), 300)
    assert got.tolist() == [[75_000]]
