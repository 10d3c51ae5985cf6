"""Slow NumPy loops of learning rules, written from the papers; no code of snnjax in them."""

from __future__ import annotations

import numpy as np


def stdp_loop(pre, post, plus, minus, pre_tau, post_tau, same_step="both", dt=1.0):
    """dW of one synapse at each step from all pairs of spike times; pre and post are [T]."""
    steps = len(pre)
    change = np.zeros(steps)
    for t in range(steps):
        for s in range(t + 1):
            gap = (t - s) * dt
            if gap > 0 or same_step in ("both", "potentiate"):
                change[t] += plus * pre[s] * post[t] * np.exp(-gap / pre_tau)
            if gap > 0 or same_step in ("both", "depress"):
                change[t] -= minus * post[s] * pre[t] * np.exp(-gap / post_tau)
    return change


def layer_stdp_loop(pre, post, plus, minus, pre_tau, post_tau, same_step="both"):
    """dW [T, B, M, N] of a dense layer, every sample and synapse on its own."""
    steps, batch, inputs = pre.shape
    change = np.zeros((steps, batch, inputs, post.shape[-1]))
    for b in range(batch):
        for m in range(inputs):
            for n in range(post.shape[-1]):
                change[:, b, m, n] = stdp_loop(
                    pre[:, b, m], post[:, b, n], plus, minus, pre_tau, post_tau, same_step
                )
    return change


def conv_stdp_loop(pre_trace, post, shape):
    """Sum of trace * spike over samples and positions; 3x3 with padding 1, or any odd kernel."""
    kh, kw, ins, _ = shape
    total = np.zeros(shape)
    batch, height, width, _ = post.shape
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                for a in range(kh):
                    for c in range(kw):
                        y, x = i + a - kh // 2, j + c - kw // 2
                        if 0 <= y < height and 0 <= x < width:
                            for m in range(ins):
                                total[a, c, m] += pre_trace[b, y, x, m] * post[b, i, j]
    return total


def triplet_loop(pre, post, plus2, minus2, plus3, minus3, tau_plus, tau_minus, tau_x, tau_y):
    """dW of one synapse at each step, from sums over earlier spikes."""
    steps = len(pre)
    change = np.zeros(steps)
    for t in range(steps):
        gap = np.arange(t, -1, -1)
        x1 = np.sum(pre[: t + 1] * np.exp(-gap / tau_plus))
        y1 = np.sum(post[: t + 1] * np.exp(-gap / tau_minus))
        x2 = np.sum(pre[:t] * np.exp(-gap[:-1] / tau_x))
        y2 = np.sum(post[:t] * np.exp(-gap[:-1] / tau_y))
        change[t] = post[t] * x1 * (plus2 + plus3 * y2) - pre[t] * y1 * (minus2 + minus3 * x2)
    return change


def atan_slope(x, slope=2.0):
    return (slope / 2) / (1 + (np.pi * slope / 2 * x) ** 2)


def alif_loop(x, weight, decay, rho, theta, beta, soft_reset):
    """Adaptive LIF for inputs x [T, M], weights [M, N]: spikes, psi, and the membranes."""
    steps, (_, outs) = len(x), weight.shape
    v, a = np.zeros(outs), np.zeros(outs)
    spikes, psi = np.zeros((steps, outs)), np.zeros((steps, outs))
    for t in range(steps):
        v = decay * v + x[t] @ weight
        limit = theta + beta * a
        spikes[t] = v >= limit
        psi[t] = atan_slope(v - limit)
        v = v - soft_reset * spikes[t] * limit
        a = rho * a + spikes[t]
    return spikes, psi


def alif_eprop_loop(x, psi, signal, decay, rho, beta):
    """Eligibility traces of adaptive LIF and sum_t L_t E_t, one synapse after the other."""
    steps, inputs = x.shape
    outs = psi.shape[1]
    grads = np.zeros((inputs, outs))
    for m in range(inputs):
        for n in range(outs):
            eps_v = eps_a = 0.0
            for t in range(steps):
                eps_v = decay * eps_v + x[t, m]
                grads[m, n] += signal[t, n] * psi[t, n] * (eps_v - beta * eps_a)
                eps_a = psi[t, n] * eps_v + (rho - psi[t, n] * beta) * eps_a
    return grads
