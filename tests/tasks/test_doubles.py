"""Five tasks that the library does not have yet, each as one small class, trained two steps.

They show that loop, step, report and checkpoints know no task: dense predictions per voxel, sets of
boxes, tokens that are counted one by one, noise drawn on the device, a velocity field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from snnjax.data import SourceBase
from snnjax.data.memory import ArrayDataset
from snnjax.experiment import Experiment
from snnjax.nn import Module
from snnjax.runs import evaluate, train
from snnjax.tasks import Task

N, C, K = 6, 4, 3


@dataclass(frozen=True)
class Arrays(SourceBase):
    """What a task asks for, at random: x [N, C] and its targets."""

    kind: str = "points"

    def open(self, split: str) -> ArrayDataset:
        rng = np.random.default_rng(7 + len(split))
        x = rng.normal(size=(16, N, C)).astype(np.float32)
        found = {
            "points": {"x": x, "labels": rng.integers(0, K, (16, N)).astype(np.int32)},
            "boxes": {"x": x, "boxes": rng.random((16, 2, 4)).astype(np.float32)},
            "tokens": {
                "x": rng.integers(0, K, (16, N)).astype(np.int32),
                "length": rng.integers(2, N + 1, 16).astype(np.int32),
            },
            "images": {"x": x},
        }
        return ArrayDataset(found[self.kind], tuple("abc"))


class Net(Module):
    """[B, N, C] to [B, N, K]."""

    def __init__(self, inputs: int, outputs: int, embed: int, rngs: nnx.Rngs):
        self.embed = nnx.Embed(embed, inputs, rngs=rngs) if embed else None
        self.first = nnx.Linear(inputs, 8, rngs=rngs)
        self.second = nnx.Linear(8, outputs, rngs=rngs)

    def forward(self, run: Any, x: Any) -> Any:
        if self.embed is not None:
            x = run(self.embed, x[None])[0]
        return run(self.second, jnp.tanh(run(self.first, x[None])[0])[None])[0]


class TimedNet(Net):
    """[B, N, C] with a time [B], which the task draws, to [B, N, K]."""

    def forward(self, run: Any, x: Any, *, time: Any) -> Any:
        h = jnp.tanh(run(self.first, x[None])[0]) + time[:, None, None]
        return run(self.second, h[None])[0]


@dataclass(frozen=True)
class NetConfig:
    outputs: int = K
    embed: int = 0
    timed: bool = False

    def build(self, info: Any, *, rngs: nnx.Rngs) -> Net:
        return (TimedNet if self.timed else Net)(C, self.outputs, self.embed, rngs)


@dataclass(frozen=True)
class Segmentation(Task):
    """A class for each point; the mean intersection over union."""

    goal = "max miou"

    def prepare(self, batch: Any, *, key: Any, train: bool) -> Any:
        return {"x": batch["x"]}, batch["labels"]

    def loss(self, out: Any, target: Any) -> Any:
        losses = optax.softmax_cross_entropy_with_integer_labels(out, target)
        return losses.sum(1), jnp.full(len(losses), float(losses.shape[1]))

    def score(self, out: Any, target: Any, weight: Any) -> Any:
        one = jax.nn.one_hot
        found, true = one(out.argmax(-1), K), one(target, K)
        return {"confusion": jnp.einsum("b,bni,bnj->ij", weight, true, found)}

    def summarise(self, sums: Any, info: Any) -> Any:
        m = sums["confusion"]
        union = m.sum(0) + m.sum(1) - np.diag(m)
        return {"miou": float(np.mean(np.diag(m) / np.maximum(union, 1)))}


@dataclass(frozen=True)
class Detection(Task):
    """Boxes as a set: each is compared with the nearest prediction; how many are found."""

    goal = "max recall"

    def prepare(self, batch: Any, *, key: Any, train: bool) -> Any:
        return {"x": batch["x"]}, batch["boxes"]

    def nearest(self, out: Any, boxes: Any) -> Any:
        return jnp.abs(out[:, :, None] - boxes[:, None]).sum(-1).min(1)  # [B, boxes]

    def loss(self, out: Any, target: Any) -> Any:
        distance = self.nearest(out, target)
        return distance.sum(1), jnp.full(len(distance), float(distance.shape[1]))

    def score(self, out: Any, target: Any, weight: Any) -> Any:
        found = self.nearest(out, target) < 1.0
        return {"found": (weight[:, None] * found).sum(), "boxes": weight.sum() * found.shape[1]}

    def summarise(self, sums: Any, info: Any) -> Any:
        return {"recall": float(sums["found"]) / max(float(sums["boxes"]), 1.0)}


@dataclass(frozen=True)
class Language(Task):
    """The next token; sums are over tokens, of which each sample has another number."""

    goal = "min perplexity"

    def prepare(self, batch: Any, *, key: Any, train: bool) -> Any:
        seen = jnp.arange(N - 1) < batch["length"][:, None] - 1
        return {"x": batch["x"][:, :-1]}, (batch["x"][:, 1:], seen)

    def loss(self, out: Any, target: Any) -> Any:
        tokens, seen = target
        losses = optax.softmax_cross_entropy_with_integer_labels(out, tokens)
        return (losses * seen).sum(1), seen.sum(1).astype(jnp.float32)

    def score(self, out: Any, target: Any, weight: Any) -> Any:
        sums, counts = self.loss(out, target)
        return {"nats": (weight * sums).sum(), "tokens": (weight * counts).sum()}

    def summarise(self, sums: Any, info: Any) -> Any:
        return {"perplexity": float(np.exp(sums["nats"] / max(float(sums["tokens"]), 1.0)))}


@dataclass(frozen=True)
class Diffusion(Task):
    """Find the noise that was added, drawn on the device; the same one in every evaluation."""

    goal = "min mse"

    def prepare(self, batch: Any, *, key: Any, train: bool) -> Any:
        first, second = jax.random.split(jax.random.key(0) if key is None else key)
        x = batch["x"]
        time = jax.random.uniform(first, x.shape[:1])
        noise = jax.random.normal(second, x.shape)
        t = time[:, None, None]
        return {"x": jnp.sqrt(1 - t) * x + jnp.sqrt(t) * noise, "time": time}, noise

    def loss(self, out: Any, target: Any) -> Any:
        squares = ((out - target) ** 2).mean((1, 2))
        return squares, jnp.ones_like(squares)

    def score(self, out: Any, target: Any, weight: Any) -> Any:
        return {"mse": (weight * self.loss(out, target)[0]).sum(), "samples": weight.sum()}

    def summarise(self, sums: Any, info: Any) -> Any:
        return {"mse": float(sums["mse"]) / max(float(sums["samples"]), 1.0)}


@dataclass(frozen=True)
class Flow(Diffusion):
    """The velocity from noise to data along a straight line."""

    def prepare(self, batch: Any, *, key: Any, train: bool) -> Any:
        inputs, noise = super().prepare(batch, key=key, train=train)
        x, t = batch["x"], inputs["time"][:, None, None]
        return {"x": (1 - t) * noise + t * x, "time": inputs["time"]}, x - noise


CASES = {
    "segmentation": (Segmentation(), "points", NetConfig()),
    "detection": (Detection(), "boxes", NetConfig(outputs=4)),
    "language": (Language(), "tokens", NetConfig(embed=K)),
    "diffusion": (Diffusion(), "images", NetConfig(outputs=C, timed=True)),
    "flow": (Flow(), "images", NetConfig(outputs=C, timed=True)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_coming_task_fits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps on two devices, in a run folder; evaluated again with the same numbers."""
    if name != "diffusion":  # one real report is enough: figures take long
        monkeypatch.setattr("snnjax.viz.write_report", lambda folder, *_, **__: folder)
    task, kind, model = CASES[name]
    experiment = Experiment(
        name=name,
        data=Arrays(kind=kind, test_size=None),
        model=model,
        task=task,
        batch_size=8,
        steps=2,
        accumulate=2,
        mesh="data=2",
        run_root=str(tmp_path),
    )
    summary = train(experiment, progress=False)
    goal = task.goal.split()[1]
    assert next(iter(summary)) == f"test_{goal}"
    assert np.isfinite(summary[f"test_{goal}"])
    assert summary["best_step"] == 2
    text = (tmp_path / f"{name}-0" / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["split"] for row in rows] == ["train", "train", "test"]
    assert all(np.isfinite([row["loss"], row[goal]]).all() for row in rows)
    assert (tmp_path / f"{name}-0" / "report.html").exists() == (name == "diffusion")
    again = evaluate(summary["run_folder"])
    for key in (f"test_{goal}", "test_loss", "synops"):
        assert again[key] == summary[key], key


def test_the_best_checkpoint_follows_the_goal(tmp_path: Path, monkeypatch: Any) -> None:
    """The smallest error is best, and kept, though later ones follow."""
    monkeypatch.setattr("snnjax.viz.write_report", lambda folder, *_, **__: folder)
    errors = iter([3.0, 1.0, 2.0, 4.0, 4.0])
    monkeypatch.setattr(
        Diffusion,
        "summarise",
        lambda self, sums, info: {"mse": next(errors) if sums["samples"] == 16 else 0.0},
    )
    experiment = Experiment(
        name="best", data=Arrays(kind="images"), model=NetConfig(outputs=C, timed=True),
        task=Diffusion(),
        batch_size=8, epochs=4, mesh="data=1", run_root=str(tmp_path),
    )  # fmt: skip
    summary = train(experiment, progress=False)
    assert (summary["best_test_mse"], summary["best_step"]) == (1.0, 4)
    kept = {int(path.name) for path in (tmp_path / "best-0" / "checkpoints").iterdir()}
    assert kept == {4, 8}
    assert evaluate(summary["run_folder"], checkpoint="best")["checkpoint"] == 4
