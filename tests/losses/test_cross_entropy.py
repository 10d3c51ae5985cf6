from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.losses import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_against_numpy(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, label = 5 * rng.standard_normal((6, 4)), np.array([0, 1, 2, 3, 1, 0])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    q = (1 - smoothing) * np.eye(4)[label] + smoothing / 4
    got = cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(label), smoothing=smoothing)
    np.testing.assert_allclose(got, -(q * log_p).sum(1), rtol=1e-5)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 3\) and int32 \(3,\)"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(3, jnp.int32))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_has_the_closed_form(smoothing: float) -> None:
    """With one logit a and K - 1 zeros: log(e^a + K - 1) - a (1 - s + s / K)."""
    a, classes = 2.0, 5
    logits = jnp.zeros((1, classes)).at[0, 3].set(a)
    got = float(cross_entropy(logits, jnp.array([3]), smoothing=smoothing)[0])
    want = np.log(np.exp(a) + classes - 1) - a * (1 - smoothing + smoothing / classes)
    assert got == pytest.approx(want, rel=1e-6)


def test_the_least_loss_under_smoothing_is_the_entropy_of_the_target() -> None:
    q = np.full(4, 0.05)
    q[1] += 0.8
    loss = cross_entropy(jnp.log(jnp.asarray(q))[None], jnp.array([1]), smoothing=0.2)
    assert float(loss[0]) == pytest.approx(-(q * np.log(q)).sum(), rel=1e-6)


def test_double_logits_stay_double_and_half_ones_are_raised() -> None:
    with jax.enable_x64(True):
        logits = jnp.array([[1e-9, 0.0, 0.0]], jnp.float64)
        loss = cross_entropy(logits, jnp.array([0]))
        assert loss.dtype == jnp.float64
        want = np.log(np.exp(1e-9) + 2) - 1e-9
        np.testing.assert_allclose(loss, [want], rtol=1e-14)
    half = cross_entropy(jnp.zeros((1, 3), jnp.bfloat16), jnp.array([0]))
    assert half.dtype == jnp.float32


def test_huge_logits_do_not_overflow() -> None:
    loss = cross_entropy(jnp.array([[1e4, -1e4], [1e4, -1e4]]), jnp.array([0, 1]))
    np.testing.assert_allclose(loss, [0.0, 2e4])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_invalid_label_gives_nan_in_the_loss_and_in_its_gradient(smoothing) -> None:
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((4, 4)), jnp.float32)
    label = jnp.array([1, 9, -1, 4])

    def total(logits, weight=None):
        losses = cross_entropy(logits, label, weight=weight, smoothing=smoothing)
        return losses.sum(), losses

    gradient, losses = jax.grad(total, has_aux=True)(logits)
    assert np.isnan(losses).tolist() == [False, True, True, True]
    assert np.isnan(gradient).all(axis=1).tolist() == [False, True, True, True]

    weighted, kept = jax.grad(total, has_aux=True)(logits, jnp.array([2.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(kept, [2 * losses[0], 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(weighted[0], 2 * gradient[0], rtol=1e-6)
    assert not weighted[1:].any()


def test_a_weight_of_another_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"weight must be \[B\] = \(2,\); got \(3,\)"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32), weight=jnp.ones(3))
