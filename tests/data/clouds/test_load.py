from __future__ import annotations

import pytest

from snnjax.data import DataError
from snnjax.data.clouds import Shapes3D, load_dataset


def test_the_embedded_default_needs_no_folder():
    ds = load_dataset("shapes3d", "test", points=16, size=20, seed=5)
    assert isinstance(ds, Shapes3D)
    assert (len(ds), ds.points(0).shape, ds.seed) == (20, (16, 3), 5)
    assert len(load_dataset("shapes3d", "train", points=16)) == 8000


def test_a_misspelt_name_suggests_the_right_one():
    with pytest.raises(DataError, match="did you mean 'shapes3d'"):
        load_dataset("shape3d", "train")


def test_a_missing_folder_names_the_nearest_path_and_the_layouts(tmp_path):
    (tmp_path / "modelnet40_points").mkdir()
    with pytest.raises(DataError) as error:
        load_dataset(str(tmp_path / "modelnet_points" / "deep"), "train")
    text = str(error.value)
    assert f"nearest existing path is {tmp_path}" in text
    assert f"did you mean {tmp_path / 'modelnet40_points'}" in text
    assert "understood layouts" in text
    assert "train.npz" in text


def test_a_folder_in_no_known_layout_lists_what_is_understood(tmp_path):
    (tmp_path / "readme.md").write_text("nothing here")
    with pytest.raises(DataError, match="no train split is found"):
        load_dataset(str(tmp_path), "train")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.npy").write_bytes(b"")
    with pytest.raises(DataError, match="the train split is empty"):
        load_dataset(str(tmp_path), "train")


def test_a_file_is_not_a_data_set(tmp_path):
    path = tmp_path / "a.off"
    path.write_text("OFF")
    with pytest.raises(DataError, match="is a file"):
        load_dataset(str(path), "train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, "`split` must be"),
        ({"size": 0}, "`size` must be"),
        ({"points": 0}, "`points` must be"),
        ({"normals": True}, "no normals"),
    ],
)
def test_bad_arguments(arguments, message):
    options = {"source": "shapes3d", "split": "train"} | arguments
    with pytest.raises(ValueError, match=message):
        load_dataset(**options)
