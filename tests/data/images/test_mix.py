"""Normalisation, mixup and cutmix on the device, against NumPy and by what they must keep."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data.images import mix, normalise

BATCH, SIDE, CLASSES = 12, 8, 5
LABEL = jnp.arange(BATCH) % CLASSES
# picture b has the value b everywhere
FLAT = jnp.broadcast_to(
    jnp.arange(BATCH, dtype=jnp.float32)[:, None, None, None], (BATCH, SIDE, 10, 1)
)

mix_jit = jax.jit(mix, static_argnames=("num_classes", "mixup", "cutmix", "probability"))


def one_hot(label: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[label]


def test_normalise_equals_numpy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    found = normalise(jnp.asarray(image), mean, std)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, (image / 255.0 - mean) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"mixup": 1.0}, {"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}],
    ids=str,
)
def test_mixed_batches_keep_sums_and_are_what_the_labels_say(options: dict) -> None:
    for seed in range(8):
        x, label = mix_jit(FLAT, LABEL, CLASSES, key=jax.random.key(seed), **options)
        total = np.asarray(x, np.float64).sum()
        np.testing.assert_allclose(total, np.asarray(FLAT, np.float64).sum(), rtol=1e-6)
        np.testing.assert_allclose(label.sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(label.sum(0), one_hot(np.asarray(LABEL)).sum(0), rtol=1e-5)
        assert label.dtype == jnp.float32
        assert (np.asarray(label) >= 0).all()


def test_mixup_equals_numpy() -> None:
    x, label = (
        np.asarray(a) for a in mix_jit(FLAT, LABEL, CLASSES, key=jax.random.key(3), mixup=1.0)
    )
    assert np.ptp(x, axis=(1, 2, 3)).max() == 0  # one share for all pixels
    partner, share = recover(x[:, 0, 0, 0])
    assert sorted(partner) == list(range(BATCH))
    mixed = share * one_hot(np.asarray(LABEL)) + (1 - share) * one_hot(np.asarray(LABEL)[partner])
    np.testing.assert_allclose(label, mixed, atol=1e-4)


def recover(value: np.ndarray) -> tuple[np.ndarray, float]:
    """The permutation p and the share m with value[b] = m b + (1 - m) p(b), by trying shares."""
    own = np.arange(BATCH)
    best: tuple[float, np.ndarray, float] = (np.inf, own, 1.0)
    for share in np.linspace(0.0005, 0.9995, 20_000):
        partner = (value - share * own) / (1 - share)
        near = np.round(partner).astype(int)
        if sorted(near) == list(own):
            best = min(
                best,
                (float(np.abs((partner - near) * (1 - share)).max()), near, share),
                key=lambda b: b[0],
            )
    return best[1], best[2]


def test_cutmix_pastes_one_box_of_the_partner() -> None:
    shares = []
    for seed in range(30):
        x, label = mix_jit(FLAT, LABEL, CLASSES, key=jax.random.key(seed), cutmix=1.0)
        x, label = np.asarray(x), np.asarray(label)
        own = np.arange(BATCH)[:, None, None]
        pasted = (x[..., 0] != own).any(0)
        rows, columns = np.flatnonzero(pasted.any(1)), np.flatnonzero(pasted.any(0))
        if not len(rows):
            np.testing.assert_array_equal(label, one_hot(np.asarray(LABEL)))
            continue
        assert pasted.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        partner = x[:, rows[0], columns[0], 0].astype(int)
        np.testing.assert_array_equal(x[..., 0], np.where(pasted, partner[:, None, None], own))
        share = 1 - pasted.mean()
        shares.append(share)
        mixed = share * one_hot(np.asarray(LABEL)) + (1 - share) * one_hot(
            np.asarray(LABEL)[partner]
        )
        np.testing.assert_allclose(label, mixed, atol=1e-6)
    assert len(shares) > 15
    assert min(shares) < 0.5 < max(shares)


def test_probability() -> None:
    x, label = mix_jit(FLAT, LABEL, CLASSES, key=jax.random.key(0), mixup=1.0, probability=0.0)
    np.testing.assert_array_equal(x, FLAT)
    np.testing.assert_array_equal(label, one_hot(np.asarray(LABEL)))
    keys = jax.random.split(jax.random.key(1), 200)
    mixed = jax.vmap(lambda key: mix(FLAT, LABEL, CLASSES, key=key, mixup=1.0, probability=0.3)[0])(
        keys
    )
    assert 0.2 < np.mean((np.asarray(mixed) != FLAT).any((1, 2, 3, 4))) < 0.4


def test_both_are_taken_in_turn() -> None:
    keys = jax.random.split(jax.random.key(2), 200)
    mixed = jax.vmap(lambda key: mix(FLAT, LABEL, CLASSES, key=key, mixup=1.0, cutmix=1.0)[0])(keys)
    even = np.ptp(np.asarray(mixed), axis=(2, 3, 4)).max(1) == 0  # mixup leaves pictures flat
    assert 0.4 < even.mean() < 0.75  # some boxes are empty, and look like no change


def test_beta_is_the_one_asked_for() -> None:
    """Alpha 0.2 gives shares near 0 and 1, alpha 8 near a half; variance 1 / (4 (2 alpha + 1))."""
    pair = jnp.arange(2.0)[:, None, None, None]
    keys = jax.random.split(jax.random.key(4), 3000)
    for alpha in (0.2, 1.0, 8.0):
        draw = jax.vmap(lambda key, a=alpha: mix(pair, jnp.arange(2), 2, key=key, mixup=a)[1])
        share = np.asarray(draw(keys))[:, 0, 0]
        share = share[share < 1]  # half of the permutations of two are the identity
        np.testing.assert_allclose(share.var(), 0.25 / (2 * alpha + 1), rtol=0.12)


def test_nothing_to_mix_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        mix(FLAT, LABEL, CLASSES, key=jax.random.key(0))
