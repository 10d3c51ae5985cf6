from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data import DataInfo, Layout, batches
from snnjax.data.clouds import Augment, CloudSource, load_dataset, read_cloud, to_voxels
from snnjax.sparse import Capacities

SOURCE = CloudSource(
    points=64, extent=16, train_size=48, test_size=20, augment=Augment("z", (0.8, 1.0), drop=0.3)
)


def test_a_source_opens_what_the_reader_reads() -> None:
    train, test = SOURCE.open("train"), SOURCE.open("test")
    want = load_dataset("shapes3d", "train", points=64, size=48)
    np.testing.assert_array_equal(train.points(17), want.points(17))
    assert DataInfo.of(train, test) == DataInfo(want.class_names, 3, 48, 20, 0)
    assert train.name(13) == "box 13"
    with pytest.raises(ValueError, match="'train' or 'test'; got 'valid'"):
        SOURCE.open("valid")


def test_only_training_changes_clouds() -> None:
    train = SOURCE.open("train")
    plain = next(batches(train, SOURCE, 16, seed=0, train=False))
    for row in range(16):
        np.testing.assert_array_equal(plain["points"][row], train.points(row))
    drawn = next(batches(train, SOURCE, 16, seed=0, train=True))
    assert drawn["count"].min() < 64


def test_the_model_receives_voxels_their_capacities_and_labels() -> None:
    batch = next(batches(SOURCE.open("test"), SOURCE, 4, seed=0, train=False))
    device = {name: jnp.asarray(array) for name, array in batch.items()}
    shape = Capacities((64, 32, 8))
    got = SOURCE.encode(device, shape, key=None, train=False)
    assert got.keys() == {"x", "capacities", "label"}
    assert got["capacities"] is shape
    want = to_voxels(device["points"], device["count"], 16, shape)
    np.testing.assert_array_equal(got["x"].coords, want.coords)
    for row in range(4):
        cells = np.floor((batch["points"][row] + 1) * 8).astype(int)
        sites = {tuple(c) for c in np.asarray(want.coords)[row, : int(want.n[row])].tolist()}
        assert sites == {(z, y, x) for x, y, z in cells.tolist()}


def test_a_file_is_a_sample_without_a_label(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.random.default_rng(0).normal(size=(200, 3)))
    batch = SOURCE.collate([SOURCE.read(path)], None)
    assert batch.keys() == {"points", "count"}
    np.testing.assert_array_equal(batch["points"][0], read_cloud(path, points=64))
    found = SOURCE.encode(batch, Capacities((64,)), key=None, train=False)
    assert found.keys() == {"x", "capacities"}


def test_votes_turn_and_scale_but_keep_all_points() -> None:
    voting = SOURCE.for_voting()
    assert voting == replace(SOURCE, augment=Augment("z", (0.8, 1.0)))
    copies = list(
        batches(SOURCE.open("test"), voting, 20, seed=0, train=False, augment=True, epochs=2)
    )
    assert all((copy["count"] == 64).all() for copy in copies)
    assert (copies[0]["points"] != copies[1]["points"]).any()
    with pytest.raises(ValueError, match="the copies would be equal"):
        replace(SOURCE, augment=Augment(drop=0.5)).for_voting()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 0}, r"data\.points must be an integer of at least 1; got 0"),
        ({"extent": True}, r"data\.extent must be an integer"),
        ({"test_size": -1}, r"data\.test_size must be"),
    ],
)
def test_impossible_settings_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CloudSource(**options)


def test_a_model_must_say_how_often_it_halves_the_grid_and_the_grid_must_allow_it() -> None:
    test, layout = SOURCE.open("test"), Layout(4)
    with pytest.raises(TypeError, match=r"integer `depth`.*SimpleNamespace has none"):
        SOURCE.shapes(None, test, SimpleNamespace(), layout)
    with pytest.raises(ValueError, match=r"multiple of 32, .* 5 times; got 16\. Use 32\."):
        SOURCE.shapes(None, test, SimpleNamespace(depth=5), layout)


def test_a_file_that_is_not_a_table_of_arithmetics_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text("{}")
    source = replace(SOURCE, arithmetic=str(path))
    with pytest.raises(ValueError, match=r"table\.json is not a table of arithmetics"):
        source.shapes(None, SOURCE.open("test"), SimpleNamespace(depth=2), Layout(4))
