from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnjax.data import Batch, Layout, batches
from snnjax.data.buckets import by_micro_batch
from snnjax.data.clouds import Augment, CloudShapes, CloudSource
from snnjax.data.clouds.shapes import Grid
from snnjax.sparse import ArithmeticRule, ArithmeticTable, Capacities

DEPTH = 4
MODEL = SimpleNamespace(depth=DEPTH)
SOURCE = CloudSource(points=64, extent=16, train_size=64, test_size=24)
GRID = Grid(16, DEPTH)
LAYOUT = Layout(16)


def fitted(source: CloudSource = SOURCE, layout: Layout = LAYOUT) -> CloudShapes:
    return source.shapes(source.open("train"), source.open("test"), MODEL, layout)


def split_batches(source: CloudSource = SOURCE) -> list[Batch]:
    return list(batches(source.open("test"), source, 16, seed=0, train=False))


def fits(capacities: Capacities, counts: np.ndarray) -> bool:
    """Whether the samples that share a grid find enough rows in it."""
    grids = counts.reshape(-1, capacities.samples, DEPTH + 1).sum(axis=1)
    return bool(np.all(grids <= capacities.rows))


def test_sites_are_counted_as_a_set_of_cells_would() -> None:
    batch = split_batches()[0]
    counts = GRID.counts(batch)
    assert counts.shape == (16, DEPTH + 1)
    for row in range(16):
        cells = np.floor((batch["points"][row, : batch["count"][row]] + 1) * 8).astype(int)
        for level in range(DEPTH + 1):
            assert counts[row, level] == len({tuple(cell >> level) for cell in cells})


def test_a_scan_holds_every_test_cloud_and_is_repeatable() -> None:
    shapes = fitted()
    assert shapes == fitted()
    assert len(shapes.evaluation.choices) == 1
    for batch in split_batches():
        chosen = shapes.choose(batch, train=False)
        assert chosen in shapes.evaluation.choices
        assert fits(chosen, GRID.counts(batch))


def test_augmented_clouds_of_any_epoch_find_room() -> None:
    augment = Augment(rotate="so3", scale=(0.3, 1.0), shift=0.2)
    source = replace(SOURCE, augment=augment)
    shapes, train = fitted(source), source.open("train")
    for batch in batches(train, source, 16, seed=0, train=True, start_step=20, epochs=10):
        assert fits(shapes.choose(batch, train=True), GRID.counts(batch))


def test_processes_that_see_a_part_of_a_batch_take_the_largest_bucket() -> None:
    shapes = fitted()
    for train, buckets in ((True, shapes.training), (False, shapes.evaluation)):
        assert shapes.choose({}, train=train, largest=True) == buckets.choices[-1]


def test_the_tightest_capacities_are_exact_and_never_empty() -> None:
    shapes, batch = fitted(), split_batches()[0]
    assert shapes.fit(batch).rows == tuple(GRID.counts(batch).max(axis=0))
    nothing = batch | {"count": np.zeros(16, np.int32)}
    assert shapes.fit(nothing).rows == (1,) * (DEPTH + 1)


def test_padding_is_the_share_of_rows_without_a_site() -> None:
    shapes, (first, last) = fitted(), split_batches()
    assert first["weight"].sum() > last["weight"].sum()
    for batch in (first, last, first):  # whatever was counted before
        shape = shapes.choose(batch, train=False)
        sites = int(GRID.counts(batch).sum())
        rows = 16 // shape.samples * sum(shape.rows)
        assert shapes.padding(batch, shape) == pytest.approx(1 - sites / rows)


def test_micro_batches_are_packed_as_the_devices_receive_them() -> None:
    """Two devices take two micro-batches each; four clouds share a grid."""
    shapes = fitted(layout=Layout(16, devices=2, accumulate=2))
    assert {choice.samples for choice in shapes.training.choices} == {4}
    batch = next(batches(SOURCE.open("train"), SOURCE, 16, seed=0, train=True))
    order = by_micro_batch(np.arange(16), 2, 2)
    assert sorted(order.tolist()) == list(range(16))
    assert order[:4].tolist() == [0, 2, 4, 6]  # rows of the first device, every second one
    counts = GRID.counts(batch)[order]
    assert shapes.choose(batch, train=True) == shapes.training.choose(counts)


def test_an_evaluation_alone_needs_no_training_split() -> None:
    source = replace(SOURCE, test_size=10)
    alone = source.shapes(None, source.open("test"), MODEL, LAYOUT)
    assert alone.evaluation == fitted(source).evaluation


def test_shapes_survive_their_file() -> None:
    shapes = fitted()
    values = json.loads(json.dumps(shapes.to_json()))
    assert SOURCE.shapes_from_json(values, MODEL, LAYOUT) == shapes


def no_choices(values: Any) -> None:
    values["training"]["choices"] = []


def a_level_less(values: Any) -> None:
    values["evaluation"]["choices"][0]["rows"].pop()


def words(values: Any) -> None:
    values["training"]["choices"][0]["rows"][0] = "many"


def negative(values: Any) -> None:
    values["training"]["cells"][0] = -3


def one_half(values: Any) -> None:
    del values["evaluation"]


def stranger(values: Any) -> None:
    values["third"] = values["training"]


@pytest.mark.parametrize("damage", [no_choices, a_level_less, words, negative, one_half, stranger])
def test_damaged_shapes_are_refused(damage: Any) -> None:
    values = json.loads(json.dumps(fitted().to_json()))
    damage(values)
    with pytest.raises(ValueError, match="not the capacities of this model"):
        SOURCE.shapes_from_json(values, MODEL, LAYOUT)


@pytest.mark.parametrize("values", [[], 3, None, {}, {"training": 1, "evaluation": 2}])
def test_json_of_something_else_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="not the capacities of this model"):
        SOURCE.shapes_from_json(values, MODEL, LAYOUT)


def test_shapes_of_a_model_of_another_depth_are_refused() -> None:
    with pytest.raises(ValueError, match="each bucket needs 4 positive numbers"):
        SOURCE.shapes_from_json(fitted().to_json(), SimpleNamespace(depth=3), LAYOUT)


def test_the_arithmetic_follows_the_occupancy_and_a_measured_table(tmp_path: Path) -> None:
    def with_limit(limit: float) -> CloudShapes:
        path = tmp_path / "table.json"
        path.write_text(ArithmeticTable((ArithmeticRule("cpu", 0, limit),)).to_json())
        return fitted(replace(SOURCE, arithmetic=str(path)))

    for limit, name in ((0.0, "table"), (1.1, "pairs")):  # pairs never, and always
        shapes = with_limit(limit)
        for buckets in (shapes.training, shapes.evaluation):
            assert set(buckets.choices[0].arithmetic) == {name}
    shares = GRID.occupancy(split_batches()[0])
    assert shares[-1] == 1 / 27  # one site is left, its own neighbour
    middle = sorted(shares)[2]
    assert with_limit(middle).evaluation.choices[0].arithmetic == tuple(
        "pairs" if share < middle else "table" for share in shares
    )


def test_shapes_serve_devices_whose_share_their_groups_divide() -> None:
    shapes = fitted(layout=Layout(16, devices=2))
    choices = (*shapes.training.choices, *shapes.evaluation.choices)
    assert {choice.samples for choice in choices} == {8}
    assert shapes.serves(Layout(16, devices=2))
    assert shapes.serves(Layout(16))
    assert not shapes.serves(Layout(16, devices=4))
    assert not shapes.serves(Layout(16, devices=2, accumulate=2))
