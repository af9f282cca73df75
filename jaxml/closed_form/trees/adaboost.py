"""AdaBoost by hand. Letters as in jaxml.trees.adaboost; K classes, q = K - 1.

A learner votes g_k = 1 for one class and -1/q for the others; y has the same code. Then y'g / K is
1/q where the vote is right and -1/q^2 where it is wrong, and with the weights w_i = s_i L_i
before a round, L_i = exp(-y_i'F(x_i) / K), the loss along the learner is

    L(alpha) = (1 - eps) e^(-alpha / q) + eps e^(alpha / q^2),    eps = share of wrong votes by w
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxml._typing import Array, Bool, Column, Float, Int, Labels, Rows, Scalar

__all__ = [
    "Rounds", "alpha", "derivative", "exponential_loss", "factor", "fit", "probability",
    "reweighted", "stump",
]  # fmt: skip

Split = tuple[Int[Array, ""], Scalar, Int[Array, " 2"]]  # feature, threshold, votes


def exponential_loss(alpha: Scalar, wrong: Bool[Array, " n"], w: Column, *, K: int) -> Scalar:
    """Return L(alpha), row by row from the definition."""
    # y'g = 1 + q / q^2 = K/q where right, -2/q + (q - 1) / q^2 = -K / q^2 where wrong
    q = K - 1
    agreement = jnp.where(wrong, -1.0 / q**2, 1.0 / q)
    return (w * jnp.exp(-alpha * agreement)).sum() / w.sum()


def derivative(alpha: Scalar, wrong: Bool[Array, " n"], w: Column, *, K: int) -> Scalar:
    """Return dL/dalpha."""
    # d/dalpha [(1 - eps) e^(-alpha/q) + eps e^(alpha/q^2)]
    # = -(1 - eps)/q e^(-alpha/q) + eps/q^2 e^(alpha/q^2)
    q = K - 1
    eps = jnp.where(wrong, w, 0.0).sum() / w.sum()
    return eps / q**2 * jnp.exp(alpha / q**2) - (1 - eps) / q * jnp.exp(-alpha / q)


def alpha(eps: Scalar, *, K: int) -> Scalar:
    """Return the root of dL/dalpha: 1/2 ln((1 - eps) / eps) for two classes."""
    # eps/q^2 e^(alpha/q^2) = (1 - eps)/q e^(-alpha/q)
    # => e^(alpha (1/q^2 + 1/q)) = q (1 - eps)/eps, and 1/q^2 + 1/q = K/q^2
    # => alpha = q^2/K [ln((1 - eps)/eps) + ln q]   (Zhu et al. 2009, lemma 1)
    q = K - 1
    return q**2 / K * (jnp.log1p(-eps) - jnp.log(eps) + jnp.log(1.0 * q))


def reweighted(wrong: Bool[Array, " n"], w: Column, *, K: int) -> Column:
    """Return the weights after the round, summing to 1: the learner's error becomes 1 - 1/K."""
    # w' is w e^(-alpha/q) or w e^(alpha/q^2); their ratio is e^(alpha K/q^2) = q (1 - eps)/eps
    # => wrong rows together weigh q (1 - eps), right ones 1 - eps; over the sum K (1 - eps):
    # each wrong row gets w_i / eps (K - 1)/K, each right one w_i / (1 - eps) 1/K
    share = jnp.where(wrong, w, 0.0).sum()
    rest = w.sum() - share
    return jnp.where(wrong, w / share * (K - 1) / K, w / rest / K)


def factor(eps: Scalar, *, K: int) -> Scalar:
    """Return L(alpha) at its least: 2 sqrt(eps (1 - eps)) for two classes."""
    # With r = q (1 - eps)/eps: e^(-alpha/q) = r^(-q/K), e^(alpha/q^2) = r^(1/K)
    # => (1 - eps) r^(-q/K) + eps r^(1/K) = r^(1/K) [(1 - eps)/r + eps] = r^(1/K) eps K/q
    # K = 2: sqrt((1 - eps)/eps) 2 eps = 2 sqrt(eps (1 - eps))
    # A row that the sum of all rounds gets wrong has L_i >= 1, so the product of the factors of
    # all rounds bounds the training error   (Freund, Schapire 1997, theorem 6)
    q = K - 1
    return (q * (1 - eps) / eps) ** (1 / K) * eps * K / q


def probability(F: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Return the p for which F is the argmin of sum_k p_k exp(-y'F / K) over sum_k F_k = 0."""
    # y'F/K = [F_k - (0 - F_k)/q] / K = F_k/q for class k. d/dF_k with multiplier lambda:
    # -p_k/q e^(-F_k/q) + lambda = 0  =>  p_k proportional to e^(F_k/q)
    # K = 2: p = e^F / (e^F + e^-F) = sigma(2 F)   (Friedman et al. 2000, lemma 1)
    q = F.shape[1] - 1
    return 1.0 / jnp.exp((F[:, None, :] - F[:, :, None]) / q).sum(axis=2)


def stump(X: Rows, y: Labels, w: Column, *, K: int) -> Split:
    """Return the split of least Gini impurity over all features and midpoints, and its votes."""
    # impurity sum_sides m_side (1 - sum_k (m_sk / m_s)^2) = m - sum_sides sum_k m_sk^2 / m_s
    # => the largest purity sum_sides sum_k m_sk^2 / m_s wins
    Z = jnp.sort(X, axis=0)
    t = Z[:-1] / 2 + Z[1:] / 2  # (n - 1, d)
    left = X[None, :, :] <= t[:, None, :]
    one_hot = jnp.arange(K)[None, :] == y[:, None]
    mass = jnp.where(one_hot, w[:, None], 0.0)  # (n, K)
    L = (left[:, :, :, None] * mass[None, :, None, :]).sum(axis=1)  # (n - 1, d, K)
    R = mass.sum(axis=0)[None, None, :] - L
    apart = Z[1:] > Z[:-1]
    purity = (L**2).sum(axis=2) / L.sum(axis=2) + (R**2).sum(axis=2) / R.sum(axis=2)
    # The lowest feature, then the lowest threshold.
    j, b = jnp.unravel_index(jnp.where(apart, purity, -jnp.inf).T.argmax(), t.T.shape)
    return j, t[b, j], jnp.stack([L[b, j].argmax(), R[b, j].argmax()])


class Rounds(NamedTuple):
    """What AdaBoost of stumps finds, round by round."""

    alpha: Float[Array, " m"]
    eps: Float[Array, " m"]
    feature: Int[Array, " m"]
    threshold: Float[Array, " m"]
    F: Float[Array, "n k"]


def fit(X: Rows, y: Labels, *, sample_weight: Column, n_estimators: int, K: int) -> Rounds:
    """Return m rounds, with w from the product s_i exp(-y_i'F_i / K) itself."""
    s = sample_weight / sample_weight.sum()
    margin, F = jnp.zeros_like(s), 0.0
    rounds = []
    for _ in range(n_estimators):
        w = s * jnp.exp(-margin)
        j, t, votes = stump(X, y, w, K=K)
        vote = jnp.where(X[:, j] <= t, votes[0], votes[1])
        wrong = vote != y
        eps = jnp.where(wrong, w, 0.0).sum() / w.sum()
        a = alpha(eps, K=K)
        margin = margin + a * jnp.where(wrong, -1.0 / (K - 1) ** 2, 1.0 / (K - 1))
        F = F + a * jnp.where(vote[:, None] == jnp.arange(K)[None, :], 1.0, -1.0 / (K - 1))
        rounds.append((a, eps, j, t))
    alphas, eps, j, t = (jnp.stack(each) for each in zip(*rounds, strict=True))
    return Rounds(alphas, eps, j, t, jnp.asarray(F))
