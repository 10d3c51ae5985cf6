"""A slow NumPy encoder block of Spikformer, written from the paper; no code of snnjax in it."""

from __future__ import annotations

import numpy as np


def lif(x, tau=2.0, threshold=1.0):
    """[T, ...] to spikes: decayed input, hard reset to 0; and the least distance to a threshold."""
    v, out, margin = np.zeros(x.shape[1:]), np.zeros(x.shape), np.inf
    for t in range(len(x)):
        h = v + (x[t] - v) / tau
        out[t] = h >= threshold
        margin = min(margin, np.abs(h - threshold).min())
        v = np.where(out[t] > 0, 0.0, h)
    return out, margin


def norm(x, scale, shift, eps=1e-5):
    """By the statistics of everything but the channels."""
    flat = x.reshape(-1, x.shape[-1])
    return (x - flat.mean(0)) / np.sqrt(flat.var(0) + eps) * scale + shift


def dense(x, p):
    """`p` has weight [I, O], scale, shift and maybe a bias."""
    y = np.einsum("...i,io->...o", x, p["weight"]) + p.get("bias", 0.0)
    return lif(norm(y, p["scale"], p["shift"]))


def attention(x, p, heads, scale, threshold=0.5):
    """One step, one sample and one head at a time, Q K^T first."""
    (q, a), (k, b), (v, c) = (dense(x, p[name]) for name in "qkv")
    width = x.shape[-1] // heads
    product = np.zeros(x.shape)
    for t, sample, head in np.ndindex(*x.shape[:2], heads):
        own = slice(head * width, (head + 1) * width)
        scores = q[t, sample][:, own] @ k[t, sample][:, own].T
        product[t, sample][:, own] = scale * scores @ v[t, sample][:, own]
    spikes, _ = lif(product, threshold=threshold)  # multiples of powers of two: no rounding
    out, d = dense(spikes, p["out"])
    return out, min(a, b, c, d)


def block(x, p, heads, scale):
    """The stream after the block, and the least distance of a membrane to its threshold."""
    branch, a = attention(x, p, heads, scale)
    x = x + branch
    hidden, b = dense(x, p["first"])
    branch, c = dense(hidden, p["second"])
    return x + branch, min(a, b, c)
