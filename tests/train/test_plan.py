from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import Augment, load_dataset
from snnjax.sparse import ArithmeticRule, ArithmeticTable, Capacities
from snnjax.train import DataConfig, RunFolderError
from snnjax.train.plan import (
    _occupancy,
    fitting_capacities,
    read_plan,
    scan,
    site_counts,
    write_plan,
)
from snnjax.train.plan import evaluation_batches as split_batches

DEPTH = 4
CONFIG = DataConfig(points=64, extent=16, batch_size=16, train_size=64, test_size=24)


def splits() -> tuple[Any, Any]:
    train_set = load_dataset("shapes3d", "train", points=64, size=64)
    return train_set, load_dataset("shapes3d", "test", points=64, size=24)


def fits(capacities: Capacities, counts: np.ndarray) -> bool:
    """Whether the samples that share a grid find enough rows in it."""
    grids = counts.reshape(-1, capacities.samples, DEPTH + 1).sum(axis=1)
    return bool(np.all(grids <= capacities.rows))


def test_sites_are_counted_as_a_set_of_cells_would() -> None:
    batch = next(iter(split_batches(CONFIG, splits()[1])))
    counts = site_counts(batch, 16, DEPTH)
    assert counts.shape == (16, DEPTH + 1)
    for row in range(16):
        cells = np.floor((batch.points[row, : batch.count[row]] + 1) * 8).astype(int)
        for level in range(DEPTH + 1):
            assert counts[row, level] == len({tuple(cell >> level) for cell in cells})


def test_a_scan_holds_every_test_cloud_and_is_repeatable() -> None:
    train_set, test_set = splits()
    plan = scan(CONFIG, train_set, test_set, depth=DEPTH, seed=0)
    assert plan == scan(CONFIG, train_set, test_set, depth=DEPTH, seed=0)
    assert len(plan.evaluation.choices) == 1
    for batch in split_batches(CONFIG, test_set):
        chosen = plan.evaluation.choose(site_counts(batch, 16, DEPTH))
        assert chosen in plan.evaluation.choices
        assert fits(chosen, site_counts(batch, 16, DEPTH))


def test_augmented_clouds_of_any_epoch_find_room() -> None:
    from snnjax.data import batches

    train_set, test_set = splits()
    augment = Augment(rotate="so3", scale=(0.3, 1.0), shift=0.2)
    config = DataConfig(points=64, extent=16, batch_size=16, augment=augment)
    plan = scan(config, train_set, test_set, depth=DEPTH, seed=0)
    later = batches(
        train_set, 16, points=64, seed=0, train=True, augment=augment, start_step=20, epochs=10
    )
    for batch in later:
        counts = site_counts(batch, 16, DEPTH)
        assert fits(plan.training.choose(counts), counts)


def test_fitting_capacities_are_exact_and_never_empty() -> None:
    batch = next(iter(split_batches(CONFIG, splits()[1])))
    assert fitting_capacities(batch, 16, DEPTH).rows == tuple(
        site_counts(batch, 16, DEPTH).max(axis=0)
    )
    nothing = batch._replace(count=np.zeros(16, np.int32))
    assert fitting_capacities(nothing, 16, DEPTH).rows == (1,) * (DEPTH + 1)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = scan(CONFIG, *splits(), depth=DEPTH, seed=0)
    write_plan(tmp_path / "buckets.json", plan)
    assert read_plan(tmp_path / "buckets.json", depth=DEPTH) == plan


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
def test_a_damaged_plan_is_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "buckets.json"
    write_plan(path, scan(CONFIG, *splits(), depth=DEPTH, seed=0))
    values = json.loads(path.read_text())
    damage(values)
    path.write_text(json.dumps(values))
    message = r"buckets\.json does not describe capacities.*Restore it, or start a new run"
    with pytest.raises(RunFolderError, match=message):
        read_plan(path, depth=DEPTH)


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"training": 1, "evaluation": 2}'])
def test_json_of_something_else_is_no_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "buckets.json").write_text(text)
    with pytest.raises(RunFolderError, match="does not describe capacities"):
        read_plan(tmp_path / "buckets.json", depth=DEPTH)


def test_the_arithmetic_follows_the_occupancy_and_a_measured_table() -> None:
    train_set, test_set = splits()
    below = ArithmeticTable((ArithmeticRule("cpu", 0, 0.0),))  # pairs never
    above = ArithmeticTable((ArithmeticRule("cpu", 0, 1.1),))  # pairs always
    for table, name in ((below, "table"), (above, "pairs")):
        plan = scan(CONFIG, train_set, test_set, depth=DEPTH, seed=0, table=table)
        for buckets in (plan.training, plan.evaluation):
            assert set(buckets.choices[0].arithmetic) == {name}
    batch = next(iter(split_batches(CONFIG, test_set)))
    shares = _occupancy(batch, CONFIG, DEPTH)
    assert shares[-1] == 1 / 27  # one site is left, its own neighbour
    middle = ArithmeticTable((ArithmeticRule("cpu", 0, sorted(shares)[2]),))
    arithmetic = scan(
        CONFIG, train_set, test_set, depth=DEPTH, seed=0, table=middle
    ).evaluation.choices[0]
    assert arithmetic.arithmetic == tuple(
        "pairs" if share < sorted(shares)[2] else "table" for share in shares
    )


def test_a_plan_serves_devices_whose_share_its_groups_divide() -> None:
    plan = scan(CONFIG, *splits(), depth=DEPTH, seed=0, devices=2)
    assert {c.samples for c in (*plan.training.choices, *plan.evaluation.choices)} == {8}
    assert plan.serves(8)
    assert plan.serves(16)
    assert not plan.serves(4)
