"""Random forests by hand. Letters as in jaxml.trees.forest: B trees, counts c_b, weights s."""

import itertools
import math

import jax.numpy as jnp

from jaxml._typing import Array, Bool, Column, Float, Int, Labels, Real, Rows, Scalar

__all__ = [
    "importances", "of_means", "randomized_importances", "standard_error", "variance_of_mean",
]  # fmt: skip


def _gini(w: Column, member: Bool[Array, " n"], y: Labels, k: int) -> Scalar:
    """Return W_v I_v of the rows that are in a node."""
    # W (1 - sum_c (W_c / W)^2)
    W = jnp.where(member, w, 0.0).sum()
    of_class = jnp.stack([jnp.where(member & (y == c), w, 0.0).sum() for c in range(k)])
    return W - (of_class**2).sum() / jnp.where(W > 0, W, 1.0)


def importances(
    feature: Int[Array, "B m"], threshold: Float[Array, "B m"], w: Float[Array, "B n"],
    X: Rows, y: Labels, *, k: int,
) -> Float[Array, " d"]:  # fmt: skip
    """Return Gini importances, counted again over all splits of all trees.

    Args:
      feature: j of each node of each heap, -1 at a leaf.
      threshold: Rows with x_j <= t go left.
      w: s_i c_bi.
      X: All rows.
      y: Their labels.
      k: Number of classes.
    """
    # decrease of split v of tree b, by feature j_v:  (W_v I_v - W_l I_l - W_r I_r) / W
    # share of j in tree b, then the mean over the trees  (ESL 10.42, 15.3.2)
    d = X.shape[1]

    def of_tree(feature: Array, threshold: Array, w: Column) -> Float[Array, " d"]:
        inside = {0: jnp.ones(len(y), bool)}
        found = jnp.zeros(d, X.dtype)
        for v in range(len(feature) // 2):
            j, sides = feature[v], (2 * v + 1, 2 * v + 2)
            left = X[:, jnp.maximum(j, 0)] <= threshold[v]
            inside[sides[0]] = inside[v] & left & (j >= 0)
            inside[sides[1]] = inside[v] & ~left & (j >= 0)
            whole, *parts = (_gini(w, inside[u], y, k) for u in (v, *sides))
            gain = jnp.where(j >= 0, whole - sum(parts), 0.0)
            found = found + jnp.where(jnp.arange(d) == j, gain, 0.0)
        return found / found.sum()

    trees = [of_tree(*one) for one in zip(feature, threshold, w, strict=True)]
    return jnp.stack(trees).mean(axis=0)


def variance_of_mean(rho: Real, v: Real, B: int) -> Real:
    """Return the variance of the mean of B variables of variance v and pairwise correlation rho."""
    # Var(1/B sum_b f_b) = 1/B^2 [sum_b Var f_b + sum_{b != b'} Cov(f_b, f_b')]
    #                    = 1/B^2 [B v + B (B - 1) rho v] = rho v + (1 - rho) v / B  (ESL 15.1)
    return rho * v + (1 - rho) * v / B


def of_means(n: int, B: int) -> tuple[float, float]:
    """Return (v, rho) of trees without a split, which predict the bootstrapped mean of n rows.

    Targets are independent, of variance 1.
    """
    # f_b = 1/n sum_i c_bi y_i, c_b multinomial(n, 1/n, ...): E c^2 = 1 + (n - 1)/n, E c c' = 1
    # => v = 1/n^2 n (2 - 1/n) = (2 - 1/n)/n,  Cov(f_b, f_b') = 1/n^2 n = 1/n
    # => rho = 1/(2 - 1/n)
    del B  # neither depends on how many there are
    return (2 - 1 / n) / n, 1 / (2 - 1 / n)


def standard_error(n: int, B: int, repeats: int) -> float:
    """Return that of the mean square of 1/B sum_b f_b over repeated data, targets being normal."""
    # The mean is a'y, a = C/(n B), C multinomial(N, 1/n, ...), N = n B draws in all
    # E (a'y)^4 = 3 E |a|^4  =>  Var (a'y)^2 = 3 Var |a|^2 + 2 V^2,  V = E |a|^2
    # sum_i C_i^2 = N + 2 (pairs of draws of one row); pairs are pairwise independent, of 1/n each
    # => V = [N + N (N - 1)/n]/N^2,  Var |a|^2 = 4 N (N - 1)/2 1/n (1 - 1/n)/N^4
    N = n * B
    V = (N + N * (N - 1) / n) / N**2
    spread = 2 * N * (N - 1) / n * (1 - 1 / n) / N**4
    return math.sqrt((3 * spread + 2 * V**2) / repeats)


def randomized_importances(X: Rows, y: Labels) -> Float[Array, " d"]:
    """Return the expected decrease of entropy (nats) by each binary feature, rows weighing alike.

    Of trees whose nodes draw one feature among those that vary there, grown until none does.
    """
    # Imp(X_j) = sum_{k < d} 1 / (C(d, k) (d - k)) sum_{A of k others} I(X_j; Y | X_A)
    # (Louppe et al. 2013, theorem 1): A is what was split on before j, every set of k alike likely
    # I(X_j; Y | X_A) = H(Y | X_A) - H(Y | X_A, X_j)
    # H(Y | X_A) = - mean_i log (#{l like i in A and y} / #{l like i in A})
    d = X.shape[1]
    alike = X[:, None, :] == X[None, :, :]
    same = y[:, None] == y[None, :]

    def conditional_entropy(A: tuple[int, ...]) -> Scalar:
        in_A = jnp.ones_like(same)
        for j in A:
            in_A = in_A & alike[:, :, j]
        both = (in_A & same).sum(axis=1) / in_A.sum(axis=1)
        return -jnp.log(both).mean()

    every = [A for k in range(d + 1) for A in itertools.combinations(range(d), k)]
    H = {A: conditional_entropy(A) for A in every}
    found = []
    for j in range(d):
        total = jnp.zeros(())
        for A in every:
            if j not in A:
                k = len(A)
                gain = H[A] - H[tuple(sorted((*A, j)))]
                total = total + gain / (math.comb(d, k) * (d - k))
        found.append(total)
    return jnp.stack(found).astype(X.dtype)
