"""Frames against loops with exact fractions, and against arrays recorded from tonic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data.events import (
    EqualParts,
    EventCount,
    Events,
    TimeWindow,
    check_events,
    downsample,
    to_binary_frames,
    to_count_frames,
    to_time_surface,
    to_voxel_grid,
)
from tests.reference import events as slow

SENSOR, TAU = (5, 7), 900.0
RECORDED = Path(slow.__file__).with_name("events.npz")
RULES = {
    "parts": (EqualParts(4), 4),
    "one part": (EqualParts(1), 1),
    "window": (TimeWindow(700), None),
    "window, steps": (TimeWindow(300, 3), 3),
    "long": (TimeWindow(1000, 9), 9),
    "count": (EventCount(13), None),
    "count, steps": (EventCount(10, 3), 3),
    "many": (EventCount(50, 4), 4),
}


def some_events(n: int = 60, seed: int = 0, start: int = 1234, last: int = 3000) -> Events:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last, n)) + start
    x, y = rng.integers(0, SENSOR[1], n), rng.integers(0, SENSOR[0], n)
    return check_events(t, x, y, rng.integers(0, 2, n), SENSOR)


def spike_train(t: np.ndarray) -> Events:
    """One pixel that becomes brighter at the times t."""
    zeros = np.zeros(len(t), int)
    return check_events(np.asarray(t), zeros, zeros, zeros + 1, (1, 1))


def steps_of(rule, events: Events, span: tuple[int, int], extra: bool) -> int:
    if isinstance(rule, TimeWindow):
        return -(-(span[1] - span[0]) // rule.window_us) + extra
    inside = int(((events.t >= span[0]) & (events.t < span[1])).sum())
    return -(-inside // rule.events) + extra


@pytest.mark.parametrize("span", [None, (1500, 3801)])
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("polarity", ["both", "signed"])
@pytest.mark.parametrize("name", RULES)
def test_frames_are_those_of_a_loop(name, polarity, factor, span) -> None:
    events, (rule, steps) = some_events(), RULES[name]
    given = {"polarity": polarity, "downsample": factor, "span": span}
    seen = events.span if span is None else span
    n = steps_of(rule, events, seen, False) if steps is None else steps
    grid = steps_of(rule, events, seen, True) if steps is None else steps
    args = (seen, polarity, factor)
    got = to_count_frames(events, rule, **given)
    assert got.shape == (n, -(-5 // factor), -(-7 // factor), 2 if polarity == "both" else 1)
    assert got.dtype == (np.uint8 if polarity == "both" else np.int8)
    np.testing.assert_array_equal(got, slow.counts(events, rule, n, *args))
    got = to_binary_frames(events, rule, **given)
    np.testing.assert_array_equal(got, slow.binary(events, rule, n, *args))
    got = to_voxel_grid(events, rule, **given)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, slow.voxels(events, rule, grid, *args), atol=2e-7)
    got = to_time_surface(events, rule, tau_us=TAU, **given)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, slow.surface(events, rule, n, *args, tau=TAU), atol=2e-7)


@pytest.mark.parametrize("window", [1, 3, 1000, 5000, 33_333])
def test_an_event_on_a_border_belongs_to_the_later_frame(window) -> None:
    steps = 1000
    borders = spike_train(np.arange(steps) * window + 7)
    frames = to_count_frames(borders, TimeWindow(window, steps))
    assert (frames[..., 1] == 1).all()
    before = spike_train(np.arange(1, steps + 1) * window + 6)
    frames = to_count_frames(before, TimeWindow(window, steps), span=(7, 7 + steps * window))
    assert (frames[..., 1] == 1).all()


@pytest.mark.parametrize("duration", [110, 1000, 490_000, 299_999, 10**12 + 1])
@pytest.mark.parametrize("steps", [3, 10, 49, 110])
def test_borders_of_equal_parts_are_exact_fractions(duration, steps) -> None:
    borders = [-(-k * duration // steps) for k in range(steps)]  # the first microsecond of each
    t = np.array(sorted({*borders, *(max(b - 1, 0) for b in borders), duration - 1}))
    events = spike_train(t)
    rule, span = EqualParts(steps), (0, duration)
    got = to_count_frames(events, rule, span=span)
    np.testing.assert_array_equal(got, slow.counts(events, rule, steps, span))
    index, _ = rule.index(events, span)
    assert [int(index[np.searchsorted(t, b)]) for b in borders] == list(range(steps))


@pytest.mark.parametrize(
    ("n", "dtype"), [(255, np.uint8), (256, np.uint16), (65_535, np.uint16), (70_000, np.uint32)]
)
def test_no_count_is_clipped(n, dtype) -> None:
    got = to_count_frames(spike_train(np.zeros(n, int)), EqualParts(1))
    assert got.dtype == dtype
    assert got[0, 0, 0].tolist() == [0, n]
    assert to_binary_frames(spike_train(np.zeros(n, int)), EqualParts(1)).max() == 1


@pytest.mark.parametrize(("n", "dtype"), [(128, np.int8), (129, np.int16), (40_000, np.int32)])
def test_no_negative_count_is_clipped(n, dtype) -> None:
    events = spike_train(np.zeros(n, int))
    events = events._replace(p=1 - events.p)
    got = to_count_frames(events, EqualParts(1), polarity="signed")
    assert got.dtype == dtype
    assert got.ravel().tolist() == [-n]


def test_downsampling_sums_blocks() -> None:
    events = some_events(500)
    full = to_count_frames(events, EqualParts(3)).astype(int)
    padded = np.pad(full, ((0, 0), (0, 1), (0, 2), (0, 0)))
    blocks = padded.reshape(3, 2, 3, 3, 3, 2).sum(axis=(2, 4))
    np.testing.assert_array_equal(to_count_frames(events, EqualParts(3), downsample=3), blocks)
    assert downsample(events, 3).sensor == (2, 3)
    assert downsample(events, 1) is events


@pytest.mark.parametrize("rule", [EqualParts(6), TimeWindow(450), EventCount(11)])
def test_every_event_is_counted_once(rule) -> None:
    events = some_events(333)
    assert to_count_frames(events, rule).sum() == 333
    np.testing.assert_allclose(to_voxel_grid(events, rule).sum(), 333, rtol=1e-6)


def test_order_of_events_at_one_time_changes_no_count() -> None:
    events = some_events(200, last=20)
    order = np.lexsort((np.random.default_rng(1).random(200), events.t))
    for function in (to_count_frames, to_voxel_grid):
        np.testing.assert_allclose(
            function(events, EqualParts(5)), function(events.where(order), EqualParts(5)), atol=1e-6
        )


def test_a_stretch_without_events_gives_empty_frames() -> None:
    nothing = some_events().where(slice(0, 0))
    for rule in (EqualParts(3), TimeWindow(10, 3), EventCount(5, 3)):
        for frames in (
            to_count_frames(nothing, rule, span=(0, 100)),
            to_binary_frames(nothing, rule),
            to_voxel_grid(nothing, rule),
            to_time_surface(nothing, rule, tau_us=1.0),
        ):
            assert frames.shape == (3, *SENSOR, 2)
            assert not frames.any()
    assert to_count_frames(nothing, EventCount(5)).shape == (0, *SENSOR, 2)
    assert to_count_frames(nothing, TimeWindow(5)).shape == (0, *SENSOR, 2)


def test_tonic_makes_the_same_frames() -> None:
    """tonic 1.7.0 has [T, P, H, W] and leaves out the event at the end of the last window."""
    with np.load(RECORDED) as file:
        kept = dict(file)
    events = check_events(kept["t"], kept["x"], kept["y"], kept["p"], (6, 9))

    def theirs(name):
        return np.moveaxis(kept[name], 1, -1)

    window = TimeWindow(4000, 5)
    np.testing.assert_array_equal(to_count_frames(events, window), theirs("window"))
    np.testing.assert_array_equal(to_count_frames(events, EventCount(64)), theirs("count"))
    surface = to_time_surface(events, window, tau_us=7000.0)
    np.testing.assert_allclose(surface, theirs("surface"), atol=1e-7)
    grid = to_voxel_grid(events, window, polarity="signed")
    np.testing.assert_allclose(grid, theirs("voxel"), atol=5e-7)


def test_settings_are_checked() -> None:
    events = some_events()
    for make in (EqualParts, TimeWindow, EventCount):
        for value in (0, -1, 2.5):
            with pytest.raises(ValueError, match="at least 1"):
                make(value)
    with pytest.raises(ValueError, match="steps"):
        TimeWindow(5, 0)
    with pytest.raises(ValueError, match="'both' or 'signed'; got 'on'"):
        to_count_frames(events, EqualParts(2), polarity="on")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'both' or 'signed'"):
        to_binary_frames(events, EqualParts(2), polarity="on")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"span.*start <= stop"):
        to_count_frames(events, EqualParts(2), span=(5, 4))
    with pytest.raises(ValueError, match="`downsample` must be at least 1"):
        to_count_frames(events, EqualParts(2), downsample=0)
    for tau in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="tau_us"):
            to_time_surface(events, EqualParts(2), tau_us=tau)
