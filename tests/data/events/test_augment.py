"""What random changes keep, and what they change."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.data.events import EqualParts, EventAugment, Events, check_events, to_count_frames
from snnjax.data.events import augment as changes
from tests.data.events import files

SENSOR, SPAN = (10, 14), (0, 5000)
EACH = {
    "flip": 1.0,
    "shift": 3,
    "flip_polarity": 1.0,
    "drop": 0.5,
    "drop_time": 0.5,
    "drop_area": 0.5,
    "jitter_us": 300.0,
}


@pytest.fixture
def events() -> Events:
    return check_events(*files.columns(600, sensor=SENSOR, last=SPAN[1]), SENSOR)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(events: Events) -> list[tuple[int, ...]]:
    return sorted(zip(*(a.tolist() for a in events[:4]), strict=True))


def counts(events: Events) -> np.ndarray:
    return to_count_frames(events, EqualParts(4), span=SPAN)


def test_flips_are_their_own_inverse_and_mirror_frames(events) -> None:
    for flip in (changes.flip_horizontally, changes.flip_polarity):
        assert rows(flip(flip(events))) == rows(events)
    frames = counts(events)
    np.testing.assert_array_equal(counts(changes.flip_horizontally(events)), frames[:, :, ::-1])
    np.testing.assert_array_equal(counts(changes.flip_polarity(events)), frames[..., ::-1])


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (0, -3), (-1, 4), (20, 0)])
def test_a_shift_moves_frames_and_loses_what_leaves(events, dx, dy) -> None:
    want = np.zeros((4, *SENSOR, 2), int)
    frames = counts(events)
    for y in range(SENSOR[0]):
        for x in range(SENSOR[1]):
            if 0 <= y + dy < SENSOR[0] and 0 <= x + dx < SENSOR[1]:
                want[:, y + dy, x + dx] = frames[:, y, x]
    np.testing.assert_array_equal(counts(changes.shift(events, dx, dy)), want)


def test_dropped_stretches_and_areas_are_empty_and_nothing_else_is(events) -> None:
    kept = changes.drop_time(events, 1000, 2000)
    assert rows(kept) == [row for row in rows(events) if not 1000 <= row[0] < 2000]
    kept = changes.drop_area(events, (2, 5), (3, 9))
    assert rows(kept) == [r for r in rows(events) if not (3 <= r[1] < 9 and 2 <= r[2] < 5)]


def test_jitter_keeps_pixels_and_sorts_and_leaves_the_span_alone(events) -> None:
    moved = changes.jitter(events, 300.0, SPAN, rng())
    assert (np.diff(moved.t) >= 0).all()
    assert moved.t.min() >= SPAN[0]
    assert moved.t.max() < SPAN[1]
    assert 0.9 * 600 < len(moved.t) < 600  # about 300 / 5000 * 0.8 leave
    wide = changes.jitter(events, 300.0, (-10_000, 20_000), rng())
    assert sorted(r[1:] for r in rows(wide)) == sorted(r[1:] for r in rows(events))
    assert abs(float(np.std(wide.t.astype(float)) ** 2 - np.std(events.t) ** 2) - 9e4) < 4e4


@pytest.mark.parametrize("name", EACH)
def test_each_change_alone_gives_valid_events_from_its_own_generator(events, name) -> None:
    change = EventAugment(**{name: EACH[name]})
    assert change.changes
    a, b, c = change(events, SPAN, rng()), change(events, SPAN, rng()), change(events, SPAN, rng(1))
    assert rows(a) == rows(b)
    assert rows(a) != rows(events)
    check_events(*a)
    assert len(a.t) <= len(events.t)
    if name.endswith("flip") or name == "flip_polarity":
        assert rows(c) == rows(a)
    else:
        assert rows(c) != rows(a)


def test_only_drops_and_borders_lose_events(events) -> None:
    for name in EACH:
        got = [len(EventAugment(**{name: EACH[name]})(events, SPAN, rng(s)).t) for s in range(20)]
        if name in ("flip", "flip_polarity"):
            assert set(got) == {600}
        if name in ("drop", "drop_time", "drop_area"):
            # the share is uniform from 0 on; of an area, that of its sides
            most = 0.5 if name != "drop_area" else 0.25
            assert min(got) > 600 * (1 - most) - 60
            assert np.mean(got) < 600 * (1 - most / 4) + 20


def test_probabilities_decide_how_often(events) -> None:
    flip = EventAugment(flip=0.3)
    flipped = sum(rows(flip(events, SPAN, rng(s))) != rows(events) for s in range(200))
    assert 30 < flipped < 95


def test_every_shift_occurs(events) -> None:
    one = events.where(slice(300, 301))._replace(x=np.array([7]), y=np.array([5]))
    shift = EventAugment(shift=2)
    seen = {
        (int(e.x[0]) - 7, int(e.y[0]) - 5) for s in range(400) if (e := shift(one, SPAN, rng(s)))
    }
    assert seen == {(dx, dy) for dx in range(-2, 3) for dy in range(-2, 3)}


def test_no_change_is_the_same_events(events) -> None:
    still = EventAugment()
    assert not still.changes
    assert rows(still(events, SPAN, rng())) == rows(events)


def test_all_changes_of_no_events_are_no_events(events) -> None:
    nothing = events.where(slice(0, 0))
    assert len(EventAugment(**EACH)(nothing, SPAN, rng()).t) == 0


@pytest.mark.parametrize("name", EACH)
def test_settings_are_checked(name) -> None:
    for value in (-1, np.nan, np.inf) + (() if name in ("shift", "jitter_us") else (1.5,)):
        with pytest.raises(ValueError, match=name):
            EventAugment(**{name: value})
    if name == "shift":
        with pytest.raises(ValueError, match="integer"):
            EventAugment(shift=1.5)  # type: ignore[arg-type]
