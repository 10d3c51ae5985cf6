"""Text clouds of other programs: read where there is one reading, refused by name elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.data import DataError
from snnjax.data.clouds import load_dataset, read_cloud
from snnjax.data.clouds.columns import read_columns
from snnjax.data.clouds.files import read_text
from snnjax.data.clouds.off import read_off
from snnjax.data.text import read_names

FILE = Path("a.txt")
POINTS = [[694386.637, 5155487.27, 381.041], [694386.5, 5155487.0, 380.0]]
COMMAS = "694386,637 5155487,270 381,041\n694386,5 5155487,0 380,0\n"
PLAIN = COMMAS.replace(",", ".")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        COMMAS,
        COMMAS.replace(" ", "\t"),
        COMMAS.replace(" ", ";"),
        COMMAS.replace(" ", "; "),
        COMMAS.replace(" ", ";").replace("\n", ";\n"),
        PLAIN.replace(" ", ";"),
        PLAIN.replace(" ", ","),
        PLAIN.replace(" ", ", "),
        PLAIN.replace(" ", " , "),
        PLAIN.replace(" ", ",").replace("\n", ",\n"),
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        "\ufeffx;y;z\n" + COMMAS.replace(" ", ";"),
        "x y z\n" + PLAIN,
        "X,Y,Z\n" + PLAIN.replace(" ", ","),
        '"x","y","z"\n' + PLAIN.replace(" ", ","),
        "//X Y Z\n" + PLAIN,
        "# any comment, with commas\nx y z # the columns\n" + PLAIN,
        "2\n" + PLAIN,
        "2\n" + COMMAS,
        "2\nx y z\n" + PLAIN,
    ],
)
def test_one_reading_is_read(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read_text(path), POINTS)


def test_other_columns_follow_the_header():
    text = b"x y z nx ny nz intensity\n1 2 3 0 0 1 7\n4 5 6 0 1 0 8\n"
    assert read_columns(text, FILE).tolist() == [[1, 2, 3, 0, 0, 1, 7], [4, 5, 6, 0, 1, 0, 8]]


def test_commas_without_another_separator_part_numbers():
    assert read_columns(b"1,2,3\n4,5,6", FILE).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert read_columns(b"0, 0,0\n2 0\t0", FILE).tolist() == [[0, 0, 0], [2, 0, 0]]
    assert read_columns(b"1;2;3", FILE).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,5, 2,5, 3,5\n", "line 1: can be read in two ways, with decimal commas or"),
        ("1,2,3 4,5,6\n", "line 1: has commas and blanks between its numbers"),
        ("1.5,2.5 3.5\n", "line 1: has commas and blanks between its numbers"),
        ("1.234,5 2.000,1 3.000,0\n", "has commas and blanks between its numbers"),
        ("694,386 5,155,487 381,041\n", "has commas and blanks between its numbers"),
        ("1,234 2 3,456\n1,235 3 4,567\n", "commas that may be decimal or separate thousands"),
        ("1.234,5;2;3\n", "line 1: is not a row of numbers"),
        ("1,,3\n", "line 1: is not a row of numbers"),
        ("1;;3\n", "line 1: is not a row of numbers"),
        ("3\n1 2 3\n4 5 6\n", "line 1: is a count of 3 points, but 2 follow"),
        (
            "r g b x y z\n1 2 3 4 5 6\n",
            "line 1: is a header whose columns do not begin with x, y, z",
        ),
        ("y,x,z\n1,2,3\n", "do not begin with x, y, z: y x z"),
        ("x y z\n", "the cloud is empty"),
        ("x y z\n1 2 3\nx y z\n", "line 3: is not a row of numbers"),
        ("1 2 3\n1 2\n", "line 2: has 2 values where the first line has 3"),
        ("x [m] y [m]\n1 2 3\n", "line 1: is not a row of numbers"),
    ],
)
def test_the_rest_is_refused_by_name(text, message):
    with pytest.raises(DataError, match=message) as error:
        read_columns(text.encode(), FILE)
    assert "Fix:" in str(error.value)


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from([" ", "\t", ";", "; "]),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_any_table_is_read_as_written_or_refused(points, separator, commas):
    text = "\n".join(separator.join(f"{v:.4f}" for v in row) for row in points)
    text = text.replace(".", ",") if commas else text
    np.testing.assert_allclose(read_columns(text.encode(), FILE), np.round(points, 4), atol=1e-9)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_are_named(tmp_path, encoding):
    for name in ("a.txt", "a.off"):
        (tmp_path / name).write_text("OFF 1 2 3\n", encoding=encoding)
        with pytest.raises(DataError, match=r"UTF-(16|32) text.*save it as UTF-8"):
            read_cloud(tmp_path / name)
    with pytest.raises(DataError, match=r"UTF-(16|32) text"):
        read_names(tmp_path / "a.txt")


def test_a_mark_in_front_of_a_mesh_or_a_list_is_no_part_of_it(tmp_path):
    mesh = tmp_path / "a.off"
    mesh.write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", encoding="utf-8-sig")
    assert len(read_off(mesh).faces) == 1
    (tmp_path / "chair").mkdir()
    np.save(tmp_path / "chair" / "chair_0001.npy", np.eye(3))
    (tmp_path / "set_train.txt").write_text("chair_0001\n\n", encoding="utf-8-sig")
    assert len(load_dataset(str(tmp_path), "train")) == 1


def test_a_list_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("a\nb\u00e4r\n".encode("latin-1"))
    with pytest.raises(DataError, match="byte 3: is not UTF-8 text"):
        read_names(path)
