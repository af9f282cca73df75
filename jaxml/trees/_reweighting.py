"""The rounds of AdaBoost: grow a tree on the weights, weigh it, weigh the rows anew.

    eps = sum_i w_i [wrong] / sum_i w_i,    alpha = q^2/K [ln((1 - eps)/eps) + ln q],    q = K - 1
    w_i <- w_i e^(alpha / q^2) where the vote is wrong, w_i e^(-alpha / q) where it is right

Weights are kept as logarithms: 1e-263, and products of many rounds, are ordinary numbers there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._lanes import one_at_a_time
from jaxml._sums import total
from jaxml._typing import Array, Column, Float, Int, Labels, Scalar
from jaxml.trees import _criteria, _grow, _leaves
from jaxml.trees._bins import Bins

__all__ = ["Round", "run"]


class Round(NamedTuple):
    """What a round leaves behind; zeros once the fit has stopped."""

    alpha: Scalar
    gap: Scalar  # |weighted error of the tree after the update - (1 - 1/K)|
    feature: Int[Array, " v"]
    threshold: Float[Array, " v"]
    vote: Int[Array, " v"]  # a class
    decrease: Float[Array, " d"]  # of the impurity, by feature


def run(bins: Bins, y: Labels, s: Column, *, K: int, m: int, depth: int) -> tuple[Round, Scalar]:
    """Return m rounds, stacked, and the logarithm of the mean exponential loss after them."""
    q, eps_0 = max(K - 1, 1), float(jnp.finfo(s.dtype).eps)

    def step(state: tuple[Column, Array], _: None) -> tuple[tuple[Column, Array], Round]:
        log_w, done = state
        w = _weights(log_w)
        found, vote, voted = _grown(bins, y, jax.lax.stop_gradient(w), K, depth)
        wrong = voted != y
        error = total(jnp.where(wrong, w, 0.0))
        perfect = error <= eps_0
        worthless = ~perfect & (error >= 1 - 1 / K - 64 * eps_0)
        eps = jnp.clip(error, eps_0, max(1 - 1 / K, eps_0))
        alpha = q**2 / K * (jnp.log1p(-eps) - jnp.log(eps) + jnp.log(float(q)))
        alpha = jnp.where(done | worthless, 0.0, alpha).astype(s.dtype)
        log_w = log_w + jnp.where(wrong, alpha / q**2, -alpha / q)
        after = total(jnp.where(wrong, _weights(log_w), 0.0))
        gap = jnp.where(done | perfect | worthless, 0.0, jnp.abs(after - (1 - 1 / K)))
        decrease = _leaves.by_feature(found.feature, found.gain, len(bins.codes))
        left = Round(alpha, gap, found.feature, found.threshold, vote, decrease)
        left = jax.tree.map(lambda a: jnp.where(done, 0, a).astype(a.dtype), left)
        left = left._replace(feature=jnp.where(done, -1, left.feature))
        return (log_w, done | perfect | worthless), left

    start = jnp.where(s > 0, jnp.log(jnp.where(s > 0, s, 1.0)), -jnp.inf)
    (log_w, _), rounds = jax.lax.scan(step, (start, jnp.array(False)), None, length=m)
    return rounds, jax.nn.logsumexp(log_w) - jax.nn.logsumexp(start)


def _weights(log_w: Column) -> Column:
    """w / sum w from log w + any constant."""
    w = jnp.exp(log_w - jax.lax.stop_gradient(jnp.max(log_w)))
    return w / total(w)


def _grown(
    bins: Bins, y: Labels, w: Column, K: int, depth: int
) -> tuple[_grow.Tree, Int[Array, " v"], Labels]:
    """A tree on the weights w, the vote of each of its nodes, and that for each row."""

    @one_at_a_time
    def grown(codes: Array, thresholds: Array, u: Array) -> _grow.Grown:
        return _grow.grow(
            Bins(codes, thresholds), u, _criteria.CRITERIA["gini"], max_depth=depth,
            min_gain=_criteria.least_gain(u, "gini"), min_mass=jnp.zeros((), w.dtype),
        )  # fmt: skip

    u = _criteria.class_statistics(y, w, K)
    found, leaf = grown(*bins, u)
    p = _leaves.shares(leaf, u, jnp.ones((), w.dtype), len(found.feature), "gini")[0]
    # Of classes equal to rounding the lowest: the order of the rows does not decide.
    top = jnp.max(p, axis=1, keepdims=True) - 32 * jnp.finfo(w.dtype).eps
    vote = jnp.argmax(p >= top, axis=1).astype(jnp.int32)
    return found, vote, vote[leaf]
