"""The source of pictures: what the pipeline and the step ask of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data.images import ImageAugment, ImageSource, normalise
from snnjax.data.source import DataInfo, Layout, Static
from tests.data.images.pictures import pixels, write

LAYOUT = Layout(batch_size=4)


@pytest.fixture
def source(folder: Path) -> ImageSource:
    return ImageSource(str(folder), image_size=(6, 6), mean=(0.5,), std=(0.25,))


def rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(count)]


def test_batch_and_model_inputs(source: ImageSource) -> None:
    train = source.open("train")
    batch = source.collate([train.sample(i, None) for i in range(4)], None)
    assert {name: a.dtype.name for name, a in batch.items()} == {"image": "uint8", "label": "int32"}
    np.testing.assert_array_equal(batch["image"], train.images)
    found = source.encode({k: jnp.asarray(v) for k, v in batch.items()}, None, key=None, train=True)
    np.testing.assert_allclose(found["x"], (train.images / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6)
    assert found["label"].tolist() == [0, 0, 1, 1]


def test_collate_changes_with_generators_only(source: ImageSource) -> None:
    source = replace(source, augment=ImageAugment(crop=2, flip=True))
    train = source.open("train")
    samples = [train.sample(i, None) for i in range(4)]
    plain, changed = source.collate(samples, None), source.collate(samples, rngs(4))
    np.testing.assert_array_equal(plain["image"], train.images)
    np.testing.assert_array_equal(changed["image"], source.augment(train.images, rngs(4)))
    assert (changed["image"] != plain["image"]).any()
    assert changed["label"].tolist() == plain["label"].tolist()


def test_info(source: ImageSource) -> None:
    info = DataInfo.of(source.open("train"), source.open("test"))
    assert info == DataInfo(("cat", "dog"), 3, 4, 2, 0, (6, 6, 3))


def test_sizes(source: ImageSource) -> None:
    source = replace(source, train_size=2, test_size=1)
    assert (len(source.open("train")), len(source.open("test"))) == (2, 1)


def test_shapes_without_mixing(source: ImageSource) -> None:
    test = source.open("test")
    shapes = source.shapes(None, test, None, LAYOUT)
    assert shapes == Static()
    assert source.shapes_from_json(shapes.to_json(), None, LAYOUT) == shapes
    with pytest.raises(ValueError, match="one shape"):
        source.shapes_from_json({"num_classes": 2}, None, LAYOUT)


def test_soft_labels_of_mixed_batches(source: ImageSource) -> None:
    source = replace(source, augment=ImageAugment(mixup=1.0))
    train = source.open("train")
    shapes = source.shapes(train, train, None, LAYOUT)
    assert source.shapes_from_json(shapes.to_json(), None, LAYOUT) == shapes
    assert shapes.serves(LAYOUT)
    batch = source.collate([train.sample(i, None) for i in range(4)], None)
    assert shapes.choose(batch, train=True) == 2
    assert shapes.choose(batch, train=False) is None
    assert shapes.fit(batch) is None
    arrays = {name: jnp.asarray(a) for name, a in batch.items()}
    key = jax.random.key(0)
    mixed = source.encode(arrays, shapes.choose(batch, train=True), key=key, train=True)
    assert mixed["label"].shape == (4, 2)
    plain = source.encode(arrays, shapes.choose(batch, train=False), key=None, train=False)
    assert plain["label"].tolist() == [0, 0, 1, 1]
    assert (mixed["x"] != plain["x"]).any()
    again = source.encode(arrays, 2, key=key, train=True)
    np.testing.assert_array_equal(again["x"], mixed["x"])
    with pytest.raises(ValueError, match="bucket of `shapes`"):
        source.encode(arrays, None, key=key, train=True)
    for values in ({}, {"num_classes": 0}, {"num_classes": "2"}, {"num_classes": 2, "more": 1}):
        with pytest.raises(ValueError, match="num_classes alone"):
            source.shapes_from_json(values, None, LAYOUT)


def test_read_one_file(source: ImageSource, tmp_path: Path) -> None:
    write(tmp_path / "one.png", 77)
    sample = source.read(tmp_path / "one.png")
    assert sample.keys() == {"image"}
    batch = {k: jnp.asarray(v) for k, v in source.collate([sample], None).items()}
    x = source.encode(batch, None, key=None, train=False)["x"]
    np.testing.assert_array_equal(x, normalise(jnp.asarray(pixels(77)[None]), (0.5,), (0.25,)))


def test_voting_keeps_crops_and_flips(source: ImageSource) -> None:
    change = ImageAugment(crop=2, flip=True, operations=2, cutout=2, erase=0.5, mixup=1.0, fill=9)
    voting = replace(source, augment=change).for_voting()
    assert voting.augment == ImageAugment(crop=2, flip=True, fill=9)
    for without in (ImageAugment(), ImageAugment(operations=2, mixup=1.0)):
        with pytest.raises(ValueError, match="no random changes"):
            replace(source, augment=without).for_voting()


def test_notices(source: ImageSource, folder: Path) -> None:
    assert source.notices(source.open("train"), source.open("test")) == []
    write(folder / "test/bird/6.png", 6)
    assert source.notices(source.open("train"), source.open("test")) == [
        "A split of 4 pictures has none of these classes: bird."
    ]
    grey = replace(source, channels=1).open("train")
    coloured = replace(grey, images=grey.images.repeat(3, 3))
    assert any("data.channels=1" in notice for notice in source.notices(coloured))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": (0, 4)}, "data.image_size must be"),
        ({"image_size": (4.5, 4)}, "data.image_size must be"),
        ({"channels": 2}, "data.channels must be 1"),
        ({"resize": "squash"}, "data.resize must be one of"),
        ({"mean": (0.1, 0.2)}, "data.mean must be one number, or 3"),
        ({"std": (0.0,)}, "data.std must be above 0"),
        ({"std": (float("nan"),)}, "data.std must be one number"),
        ({"class_names": ("a", "a")}, "data.class_names must differ"),
        ({"memory_gb": 0}, "data.memory_gb must be above 0"),
        ({"train_size": 0}, "data.train_size must be"),
    ],
)
def test_bad_settings(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSource("data", **change)


def test_presets() -> None:
    assert ImageSource.mnist("a").shape == (28, 28, 1)
    assert ImageSource.fashion_mnist("a", train_size=5).train_size == 5
    assert len(set(ImageSource.fashion_mnist("a").class_names)) == 10
    assert ImageSource.cifar10("a", augment=ImageAugment(flip=True)).augment.flip


def test_crop_and_flip_of_512_pictures_is_quick() -> None:
    """About 4 ms on one core: no training step should wait for it."""
    images = np.random.default_rng(0).integers(0, 256, (512, 32, 32, 3), dtype=np.uint8)
    source = ImageSource("data", augment=ImageAugment(crop=4, flip=True))
    samples = [{"image": image, "label": np.int32(0)} for image in images]
    generators = rngs(512)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        source.collate(samples, generators)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.03
