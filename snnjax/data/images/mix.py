"""Normalise pictures and mix them, on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, UInt8


def normalise(
    image: UInt8[Array, "B H W C"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "B H W C"]:
    """Pictures as float32, (image / 255 - mean) / std in each channel.

    >>> normalise(jnp.full((1, 1, 1, 1), 255, jnp.uint8), (0.5,), (0.25,)).item()
    2.0
    """
    scale = jnp.asarray(std, jnp.float32)
    return (image.astype(jnp.float32) / 255 - jnp.asarray(mean, jnp.float32)) / scale


def mix(
    x: Float[Array, "B H W C"],
    label: Integer[Array, "B"],
    num_classes: int,
    *,
    key: Array,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    probability: float = 1.0,
) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"]]:
    """Mix every picture of a batch with another of it, and their labels in the same proportion.

        x[b] <- m x[b] + (1 - m) x[p(b)];  label[b] <- mean(m) 1[y(b)] + (1 - mean(m)) 1[y(p(b))]

    p is a random permutation. m is one number from Beta(mixup, mixup), or a mask that is 0 in a box
    and 1 elsewhere. The box has the aspect of the picture, a share 1 - Beta(cutmix, cutmix) of its
    area, and a uniform centre, and is clipped to the picture. One m serves the full batch, as in
    the papers, so the sum over the batch stays the same. All rows must be samples, not fill.

    Args:
      x: pictures, shape [B, H, W, C]. label: classes, shape [B]. num_classes: K.
      key: random key. mixup, cutmix: alphas, 0 is off; with both, either with equal chances.
      probability: chance that the batch is mixed at all.

    Returns:
      Mixed pictures, and rows of class probabilities, float32, shape [B, K].

    Papers: Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019.
    """
    if mixup <= 0 and cutmix <= 0:
        raise ValueError(f"`mixup` or `cutmix` must be above 0; got {mixup} and {cutmix}")
    partner_key, which_key, chance_key, mask_key = jax.random.split(key, 4)
    partner = jax.random.permutation(partner_key, len(x))
    height, width = x.shape[1:3]
    mask = jnp.ones((height, width), jnp.float32)
    if mixup > 0:
        mask = mask * _beta(mask_key, mixup)
    if cutmix > 0:
        box = _box_mask(mask_key, height, width, cutmix)
        use_box = jax.random.bernoulli(which_key) if mixup > 0 else True
        mask = jnp.where(use_box, box, mask)
    mask = jnp.where(jax.random.uniform(chance_key) < probability, mask, 1.0)
    share = mask.mean()
    one_hot = jax.nn.one_hot(label, num_classes, dtype=jnp.float32)
    mask = mask[..., None].astype(x.dtype)
    return (
        mask * x + (1 - mask) * x[partner],
        share * one_hot + (1 - share) * one_hot[partner],
    )


def _beta(key: Array, alpha: float) -> Float[Array, ""]:
    if alpha == 1:  # the same distribution, and a fraction of the compile time
        return jax.random.uniform(key)
    return jax.random.beta(key, alpha, alpha)


def _box_mask(key: Array, height: int, width: int, alpha: float) -> Float[Array, "H W"]:
    """0 in a box and 1 elsewhere."""
    share_key, row_key, column_key = jax.random.split(key, 3)
    side = jnp.sqrt(1 - _beta(share_key, alpha))

    def outside(key: Array, size: int) -> Array:
        half = jnp.floor(side * size).astype(jnp.int32) // 2
        centre = jax.random.randint(key, (), 0, size)
        at = jnp.arange(size)
        return (at < centre - half) | (at >= centre + half)

    rows, columns = outside(row_key, height), outside(column_key, width)
    return (rows[:, None] | columns[None, :]).astype(jnp.float32)
