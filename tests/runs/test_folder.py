from __future__ import annotations

import dataclasses
import errno
import json
import os
import sys
from pathlib import Path

import pytest

from snnjax.data import DataInfo
from snnjax.runs import RunFolderError, read_experiment, read_info
from snnjax.runs.folder import (
    check_info,
    create_folder,
    keep_place,
    reopen_folder,
    resume_command,
    write_info,
)
from tests.train.tiny import TinyConfig, tiny_experiment


def test_taken_names_get_a_number(tmp_path: Path) -> None:
    experiment = tiny_experiment(tmp_path, seed=3)
    names = [create_folder(experiment, None).name for _ in range(3)]
    assert names == ["tiny-3", "tiny-3-2", "tiny-3-3"]
    assert read_experiment(tmp_path / "tiny-3") == experiment
    assert reopen_folder(experiment, None).name == "tiny-3-3"


def test_the_newest_of_equal_names_is_resumed(tmp_path: Path) -> None:
    """Newest by its configuration, which a resume touches; folders without one do not count."""
    experiment = tiny_experiment(tmp_path)
    folders = [create_folder(experiment, None) for _ in range(3)]
    os.utime(folders[0] / "config.json", (1e9, 1e9))
    keep_place(folders[0], experiment)
    (folders[2] / "config.json").unlink()
    assert reopen_folder(experiment, None) == folders[0]


def test_a_given_folder_may_exist_but_hold_no_run(tmp_path: Path) -> None:
    experiment = tiny_experiment(tmp_path)
    (tmp_path / "mine").mkdir()
    assert create_folder(experiment, tmp_path / "mine") == tmp_path / "mine"
    with pytest.raises(RunFolderError, match=r"holds a run already|already holds a run.*--resume"):
        create_folder(experiment, tmp_path / "mine")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="is a file"):
        create_folder(tiny_experiment(tmp_path), tmp_path / "file")
    with pytest.raises(RunFolderError, match=r"cannot write in .*Choose another --run-root"):
        create_folder(tiny_experiment(tmp_path / "file"), None)


def test_a_read_only_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the refusal of the system is played."""
    root = tmp_path / "locked"
    root.mkdir()
    root.chmod(0o500)
    if os.geteuid() == 0:

        def refuse(self: Path, *_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(RunFolderError, match=r"cannot write in .*Permission denied"):
        create_folder(tiny_experiment(root), None)


def test_a_run_on_a_disk_that_became_read_only_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create_folder(tiny_experiment(tmp_path), None)
    before = (folder / "config.json").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(RunFolderError, match=r"cannot write in .*: Read-only file system"):
        reopen_folder(None, folder)
    assert (folder / "config.json").read_bytes() == before


def test_another_configuration_is_named_field_by_field(tmp_path: Path) -> None:
    old = tiny_experiment(tmp_path)
    folder = create_folder(old, None)
    new = dataclasses.replace(
        old,
        epochs=5,
        model=TinyConfig(levels=2),
        batch_size=8,
    )
    with pytest.raises(ValueError, match="another configuration") as caught:
        reopen_folder(new, folder)
    for line in (
        "batch_size: the run has 16, now 8",
        "model.levels: the run has 4, now 2",
        "epochs: the run has 3, now 5",
    ):
        assert line in str(caught.value)
    moved = dataclasses.replace(old, run_root=str(tmp_path / "elsewhere"))
    assert reopen_folder(moved, folder) == folder
    assert reopen_folder(None, folder) == folder


def test_the_place_of_a_run_changes_when_it_is_kept(tmp_path: Path) -> None:
    """A resume asks before it knows whether it may, and whether its mesh fits."""
    old = tiny_experiment(tmp_path)
    folder = create_folder(old, None)
    moved = dataclasses.replace(old, mesh="data=2", sharding="fsdp", run_root="elsewhere")
    assert reopen_folder(moved, folder) == folder
    assert read_experiment(folder) == old
    keep_place(folder, moved)
    assert read_experiment(folder) == dataclasses.replace(moved, run_root=old.run_root)


def test_nothing_to_resume(tmp_path: Path) -> None:
    experiment = tiny_experiment(tmp_path)
    with pytest.raises(RunFolderError, match="there is no run folder"):
        reopen_folder(experiment, tmp_path / "absent")
    with pytest.raises(RunFolderError, match=r"there is no run .*start it first"):
        reopen_folder(experiment, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match=r"config\.json is missing"):
        reopen_folder(experiment, tmp_path / "empty")


def test_a_config_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"lr": 3}')
    with pytest.raises(RunFolderError, match="does not describe an experiment: unknown field 'lr'"):
        read_experiment(tmp_path)


@pytest.mark.parametrize("text", ["", "[1, 2]", "null", '{"epochs": NaN}', "{" * 5000, "\xff"])
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunFolderError, match=r"config\.json"):
        reopen_folder(None, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": "abc"}, "class_names must be a list of names"),
        ({"sample_shape": 3}, "sample_shape must be null or a list of sizes; got 3"),
        ({"class_names": [1, 2]}, "class_names must be a list of names"),
        ({"in_channels": "3"}, "in_channels must be an integer of at least 0; got '3'"),
        ({"train_size": -1}, "train_size must be an integer of at least 0; got -1"),
        ({"colour": 1}, "its fields must be class_names, in_channels"),
    ],
)
def test_a_damaged_description_of_the_data_is_named(
    tmp_path: Path, changes: dict, message: str
) -> None:
    write_info(tmp_path, DataInfo(("a", "b"), 3, 10, 4, 0))
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(RunFolderError, match=f"{message}.*Restore it, or start a new run"):
        read_info(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}"])
def test_json_of_something_else_describes_no_data(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(RunFolderError, match="does not describe a data set: its fields must be"):
        read_info(tmp_path)


def test_changed_data_are_named(tmp_path: Path) -> None:
    info = DataInfo(("a", "b"), 3, 10, 4, 0)
    write_info(tmp_path, info)
    assert read_info(tmp_path) == info
    check_info(tmp_path, info)
    with pytest.raises(ValueError, match="train_size: the run has 10, now 11"):
        check_info(tmp_path, dataclasses.replace(info, train_size=11))


def test_the_resume_command_repeats_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["/x/bin/snnjax", "train", "e3dsnn_t", "--epochs", "3", "--run-folder", "old"]
    monkeypatch.setattr(sys, "argv", words)
    want = "snnjax train e3dsnn_t --epochs 3 --run-folder runs/a --resume"
    assert resume_command(Path("runs/a")) == want
    monkeypatch.setattr(sys, "argv", [*words[:5], "--run-folder=old", "--resume"])
    assert resume_command(Path("runs/a")) == want
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert "run_folder='runs/a', resume=True" in resume_command(Path("runs/a"))
