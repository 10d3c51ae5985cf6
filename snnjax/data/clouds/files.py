"""One labelled file, one cloud: OFF meshes, NumPy arrays, and text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnjax.data.arrays import read_npy, read_npz
from snnjax.data.draws import subset
from snnjax.data.errors import DataError
from snnjax.data.text import read_bytes

from .cloud import normalise
from .columns import read_columns
from .off import read_off, sample_mesh
from .outliers import Findings
from .voxels import shell_points

SUFFIXES = (".off", ".npy", ".npz", ".txt", ".xyz", ".csv")


def read_cloud(
    path: str | Path,
    *,
    points: int = 2048,
    normals: bool = False,
    rng: np.random.Generator | None = None,
    outlier_limit: float | None = None,
    findings: Findings | None = None,
) -> np.ndarray:
    """Read a file as a cloud centred and scaled into the unit ball.

    A far outlier, or a cloud of one point, is logged as a warning.

    Args:
      path: a mesh (.off), an array [n, C >= 3] (.npy; .npz under the name `points` or alone), or
        lines of numbers (.txt, .xyz, .csv; see `columns.read_columns`). An array of booleans
        [S, S, S] is a solid grid over [-1, 1]^3; its shell stays where it is.
      points: at most this many are returned; a mesh gives exactly this number.
      normals: append the normals, columns 3..5 of an array, or those of the mesh.
      rng: random generator; None uses a fixed seed.
      outlier_limit: as in `normalise`; grids stay as they are.
      findings: collects the warnings when many files are read.

    Returns:
      float32 [n, 3], or [n, 6] with normals.

    Raises:
      DataError: the file, the place in it, and the fix.
    """
    if findings is not None:
        return _read(Path(path), points, normals, rng, findings)
    findings = Findings(outlier_limit)
    cloud = _read(Path(path), points, normals, rng, findings)
    findings.report(Path(path))
    return cloud


def _read(
    path: Path,
    points: int,
    normals: bool,
    rng: np.random.Generator | None,
    findings: Findings,
) -> np.ndarray:
    rng = np.random.default_rng(0) if rng is None else rng
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise DataError.at(path, f"cannot read '{suffix}' files", fix=f"use one of {known}")
    if suffix == ".off":
        mesh = read_off(path)
        try:
            cloud = sample_mesh(mesh, points, rng, normals=normals)
        except ValueError as error:
            raise DataError.at(
                path, str(error), fix="export a mesh with faces of some area"
            ) from error
        return scaled(cloud, findings, path.name)
    cloud = _read_array(path) if suffix in (".npy", ".npz") else read_text(path)
    if cloud.dtype == bool and cloud.ndim == 3 and not normals:
        return _thin(_shell(cloud, path), points, rng)
    columns = 6 if normals else 3
    check_cloud(cloud, path, columns)
    return scaled(_thin(cloud[:, :columns], points, rng), findings, path.name)


def scaled(cloud: np.ndarray, findings: Findings, name: str) -> np.ndarray:
    """Apply `normalise` and add what it did to the findings."""
    out = normalise(cloud, outlier_limit=findings.limit)
    findings.look(cloud, len(out), name)
    return out


def _thin(cloud: np.ndarray, points: int, rng: np.random.Generator) -> np.ndarray:
    return cloud[subset(len(cloud), points, rng)]


def _shell(solid: np.ndarray, path: Path) -> np.ndarray:
    if len(set(solid.shape)) != 1:
        raise DataError.at(path, f"a grid is [S, S, S]; got {solid.shape}", fix="pad it to a cube")
    if not solid.any():
        raise DataError.at(path, "the grid is empty", fix="remove the file or fill the grid")
    return shell_points(solid)


def check_cloud(cloud: np.ndarray, path: Path, columns: int = 3) -> None:
    """Raise unless `cloud` is [n > 0, at least `columns`] finite numbers."""
    if cloud.dtype.kind not in "iuf":
        raise DataError.at(path, f"points must be numbers; got {cloud.dtype}", fix="save float32")
    if cloud.ndim != 2 or cloud.shape[1] < columns:
        what = "x, y, z and a normal" if columns == 6 else "x, y, z"
        problem = f"a cloud is [n, at least {columns}] ({what}); got shape {cloud.shape}"
        raise DataError.at(path, problem, fix="save one point in a row")
    if len(cloud) == 0:
        raise DataError.at(path, "the cloud is empty", fix="remove the file or give it points")
    finite = np.isfinite(cloud[:, :columns]).all(1)
    if not finite.all():
        row = int(np.argmin(finite))
        problem = f"point {row} has a NaN or infinite value: {cloud[row, :columns].tolist()}"
        raise DataError.at(path, problem, fix="remove the point")


def _read_array(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    arrays = read_npz(path)
    if "points" in arrays:
        return arrays["points"]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    problem = f"has no array `points` (found {sorted(arrays)})"
    raise DataError.at(path, problem, fix="name the cloud `points`")


def read_text(path: str | Path) -> np.ndarray:
    """Lines of numbers separated by blanks, commas or semicolons; see `columns.read_columns`.

    Returns:
      float64 [n, C].

    Raises:
      DataError: a line that is not numbers, has another number of them than the first, or can be
        read in two ways.
    """
    path = Path(path)
    return read_columns(read_bytes(path), path)
