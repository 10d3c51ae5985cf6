"""Detection by centres: targets as outputs, two heads, loss, checks."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import centre_targets
from snnjax.data import DataInfo
from snnjax.experiment.registry import make
from snnjax.losses import centre_loss
from snnjax.models import CentreMaps
from snnjax.tasks import CentreDetection

NAMES = ("car", "cone", "bus")
TASK = CentreDetection(
    heads=((1,), (0, 2)), x_range=(-12.0, 12.0), y_range=(-8.0, 8.0), pitch=(0.8, 0.8),
    top=20, keep=6,
)  # fmt: skip
INFO = DataInfo(NAMES, 5, 4, 4, 0)
B, N, M = 12, 60, 5


@pytest.fixture(scope="module")
def given():
    """Cells, boxes far from each other, and maps that hold exactly the targets."""
    rng = np.random.default_rng(0)
    cells, boxes = np.zeros((B, N, 2), np.float32), np.zeros((B, M, 9), np.float32)
    kind = np.where(np.arange(M) < 4, rng.integers(0, 3, (B, M)), -1)
    for b in range(B):
        flat = rng.choice(30 * 20, N, replace=False)
        cells[b] = np.stack([flat % 30, flat // 30], -1)
        places = np.stack(np.meshgrid([-9, -3, 3, 9], [-4, 4]), -1).reshape(-1, 2)
        boxes[b, :, :2] = rng.permutation(places)[:M] + rng.uniform(-1, 1, (M, 2))
        boxes[b, :, 2:] = rng.uniform((-1, 2, 1, 1, -3, -5, -5), (1, 4, 2, 2, 3, 5, 5), (M, 7))
    boxes[kind < 0] = np.nan
    valid = np.broadcast_to(np.arange(N) < N - 5, (B, N))
    heats, codes = [], []
    for head in TASK.heads:
        heat, code = np.full((B, N, len(head)), -20.0, np.float32), np.zeros((B, N, 10), np.float32)
        heats.append(heat)
        codes.append(code)
    run = jax.jit(lambda *a: centre_targets(*a, TASK.where, num_classes=3))
    for b in range(B):
        target = run(cells[b], valid[b], boxes[b], kind[b])
        for m in np.flatnonzero(kind[b] >= 0):
            h = 0 if kind[b, m] == 1 else 1
            k, n = TASK.heads[h].index(kind[b, m]), int(target.cell[m])
            heats[h][b, n, k], codes[h][b, n] = 5 - m, target.codes[m]
    heats, codes = (tuple(map(jnp.asarray, parts)) for parts in (heats, codes))
    out = CentreMaps(heats, codes, jnp.asarray(cells), jnp.asarray(valid))
    batch = {"x": jnp.zeros(B), "boxes": jnp.asarray(boxes), "box_class": jnp.asarray(kind)}
    return out, batch


def test_targets_as_outputs_find_everything(given):
    out, batch = given

    @jax.jit
    def run(out, batch):
        _, target = TASK.prepare(batch, key=None, train=False)
        return TASK.score(out, target, jnp.ones(B)), TASK.outputs(out)

    sums, found = run(out, batch)
    numbers = TASK.summarise(jax.device_get(sums), INFO)
    assert numbers == {"ap": 100.0, "ap_2m": 100.0, "recall": 1.0}
    kind = np.asarray(batch["box_class"])
    assert sums["objects"].tolist() == [(kind == k).sum() for k in range(3)]
    for b in range(B):
        assert found.label[b].tolist() == kind[b, :4].tolist() + [-1] * 8
        np.testing.assert_allclose(found.boxes[b, :4], batch["boxes"][b, :4], atol=1e-4)
    table = TASK.pictures(jax.device_get(sums), INFO)[0]
    assert [row[2:] for row in table.rows] == [("100.0",) * 4] * 3
    far = out._replace(cells=out.cells + jnp.array([1.5 / 0.8, 0.0]))
    near, _ = run(far, batch)
    numbers = TASK.summarise(jax.device_get(near), INFO)
    assert (numbers["ap"], numbers["ap_2m"], numbers["recall"]) == (50.0, 100.0, 1.0)


def test_the_loss_is_the_sum_over_heads(given):
    out, batch = given
    keys = jax.random.split(jax.random.key(0), 4)
    heats = tuple(jax.random.normal(k, h.shape) for k, h in zip(keys[:2], out.heat, strict=True))
    codes = tuple(jax.random.normal(k, c.shape) for k, c in zip(keys[2:], out.codes, strict=True))
    out = out._replace(heat=heats, codes=codes)
    _, target = TASK.prepare(batch, key=None, train=True)

    def total(parts):
        sums, counts = TASK.loss(out._replace(heat=parts[0], codes=parts[1]), target)
        return sums.sum(), (sums, counts)

    slopes, (sums, counts) = jax.jit(jax.grad(total, has_aux=True))((heats, codes))
    assert counts.tolist() == [1] * B
    assert all(bool(jnp.isfinite(s).all() & s.any()) for s in jax.tree.leaves(slopes))

    @jax.jit
    def one_head(heat, codes, cells, valid, boxes, index):
        goal = centre_targets(cells, valid, boxes, index, TASK.where, num_classes=heat.shape[-1])
        return centre_loss(heat, codes, goal, valid)

    kind = np.asarray(batch["box_class"])
    for b in (0, 3):
        expected = 0.0
        for h, head in enumerate(TASK.heads):
            index = np.array([head.index(k) if k in head else -1 for k in kind[b]])
            rows = (heats[h][b], codes[h][b], out.cells[b], out.valid[b], batch["boxes"][b])
            expected += float(one_head(*rows, index))
        np.testing.assert_allclose(sums[b], expected, rtol=1e-5)


def test_models_and_options_are_checked(given):
    out, _ = given
    TASK.check(INFO, out)
    with pytest.raises(ValueError, match=r"must have \[1, 2\] classes; got \[2, 1\]"):
        TASK.check(INFO, out._replace(heat=out.heat[::-1]))
    with pytest.raises(ValueError, match="hold the 10 classes"):
        TASK.check(DataInfo(tuple("abcdefghij"), 5, 1, 1, 0), out)
    with pytest.raises(ValueError, match=r"8 numbers, or 10 with velocities; got \[9, 10\]"):
        TASK.check(INFO, out._replace(codes=(out.codes[0][..., :9], out.codes[1])))
    with pytest.raises(ValueError, match=r"returns snnjax\.models\.CentreMaps; got int"):
        TASK.check(INFO, 1)
    full = make("task", "centre_detection")
    heads = tuple(jnp.zeros((1, 1, len(head))) for head in full.heads)
    many = DataInfo((*NAMES * 3, "x"), 5, 1, 1, 0)
    full.check(many, out._replace(heat=heads, codes=out.codes[:1] * 6))
    for change, text in (
        ({"heads": ((0, 2),)}, "each of the classes 0, 1, ... once"),
        ({"pitch": (0.0, 1.0)}, "task.pitch must be above 0"),
        ({"y_range": (1.0, 1.0)}, "y_range must rise"),
        ({"keep": 21}, "at most task.top"),
    ):
        with pytest.raises(ValueError, match=text):
            replace(TASK, **change)
