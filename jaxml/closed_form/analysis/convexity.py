"""Curvature by hand: spectra of Hessians known in closed form, and witnesses against convexity.

Letters as in jaxml.analysis.convexity and jaxml.linear: z = X w, p_i = s_i / sum s, l2 the penalty.
Spectra are ascending; those of Gram matrices come from singular values, whose rounding is smaller.
"""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = [
    "difference_spectrum",
    "logistic_constants",
    "logistic_spectrum",
    "loss_curvature",
    "quadratic_violation",
    "ridge_constants",
    "ridge_spectrum",
    "sigmoid_mse_violation",
    "softmax_spectrum",
    "two_by_two",
]

Pair = tuple[Scalar, Scalar]

# inf and sup of d2l/dz2 over all scores z, where it exists.
#   squared:       l'' = 1
#   absolute:      l'' = 0 off the kink; the slope jumps at it, so no L
#   huber:         l'' = 1 for |r| < delta, 0 beyond
#   logistic:      l'' = q (1 - q), q = sigma(z): largest at q = 1/2, tends to 0 in both tails
#   hinge:         l'' = 0 off the kink, no L
#   squared_hinge: l'' = 2 y^2 = 2 inside the margin, 0 beyond
#   exponential:   l'' = e^(-yz), from 0 to inf
#   softmax:       H = diag(s) - ss' is flat along 1; for ||v|| = 1, v'Hv is the variance of v_j
#                  under s, at most (max v - min v)^2 / 4 <= 1/2
_BOUNDS = {
    "squared": (1.0, 1.0),
    "absolute": (0.0, jnp.inf),
    "huber": (0.0, 1.0),
    "logistic": (0.0, 0.25),
    "hinge": (0.0, jnp.inf),
    "squared_hinge": (0.0, 2.0),
    "exponential": (0.0, jnp.inf),
    "softmax_cross_entropy": (0.0, 0.5),
}


def loss_curvature(name: str) -> tuple[float, float]:
    """(mu, L): the largest mu and the smallest L with mu <= d2l/dz2 <= L for all z."""
    return _BOUNDS[name]


def ridge_spectrum(X: Rows, *, l2: Real, sample_weight: Column) -> Float[Array, " d"]:
    """Eigenvalues of the Hessian of ridge in w (no intercept), for n >= d."""
    # J = sum_i p_i (x_i'w - y_i)^2 / 2 + l2/2 ||w||^2  =>  H = X'PX + l2 I
    # P^(1/2) X = U S V'  =>  H = V (S^2 + l2) V': the penalty shifts every eigenvalue by l2
    p = sample_weight / sample_weight.sum()
    S = jnp.linalg.svd(jnp.sqrt(p)[:, None] * X, compute_uv=False)
    return S[::-1] ** 2 + l2


def ridge_constants(X: Rows, *, l2: Real, sample_weight: Column) -> tuple[Scalar, Scalar, Scalar]:
    """(L, mu, L / mu) of ridge: global, since its Hessian is constant."""
    values = ridge_spectrum(X, l2=l2, sample_weight=sample_weight)
    return values[-1], values[0], values[-1] / values[0]


def logistic_spectrum(
    w: Float[Array, " d"], X: Rows, *, l2: Real, sample_weight: Column
) -> Float[Array, " d"]:
    """Eigenvalues of the Hessian of logistic regression at w (no intercept), for n >= d."""
    # d2l/dz2 = 1 / (4 cosh^2(z/2)) =: D_i  =>  H = X'PDX + l2 I = V (S^2 + l2) V'
    p = sample_weight / sample_weight.sum()
    root = 0.5 / jnp.cosh(0.5 * (X * w[None, :]).sum(axis=1))  # D^(1/2)
    S = jnp.linalg.svd((jnp.sqrt(p) * root)[:, None] * X, compute_uv=False)
    return S[::-1] ** 2 + l2


def logistic_constants(X: Rows, *, l2: Real, sample_weight: Column) -> Pair:
    """(L, mu) that hold for logistic regression at every w: the curvature lies in (0, 1/4]."""
    # 0 < D_i <= 1/4  =>  l2 I < H <= X'PX/4 + l2 I
    p = sample_weight / sample_weight.sum()
    S = jnp.linalg.svd(jnp.sqrt(p)[:, None] * X, compute_uv=False)
    return 0.25 * S[0] ** 2 + l2, jnp.asarray(l2, X.dtype)


def softmax_spectrum(k: int, t: Scalar) -> Float[Array, " k"]:
    """Eigenvalues of the Hessian of log sum_j e^(z_j) at z = (log t, 0, ..., 0), t >= 1, k >= 3."""
    # s = (t, 1, ..., 1) / T with T = t + k - 1, and H = diag(s) - ss':
    #   H 1 = s - s (1's) = 0;   H v = v / T for v that sums to 0 on the last k - 1 entries;
    #   what the trace, 1 - s's, leaves for (k - 1, -1, ..., -1): 1 - (t^2 + k - 1)/T^2 - (k-2)/T
    #   = t k / T^2
    T = t + k - 1
    return jnp.concatenate([jnp.zeros_like(t)[None], jnp.full(k - 2, 1 / T), (t * k / T**2)[None]])


def two_by_two(a: Scalar, b: Scalar, c: Scalar) -> Float[Array, " 2"]:
    """Eigenvalues of [[a, b], [b, c]], the Hessian of a x^2/2 + b x y + c y^2/2."""
    # lambda^2 - (a + c) lambda + (ac - b^2) = 0
    middle, radius = 0.5 * (a + c), jnp.sqrt((0.5 * (a - c)) ** 2 + b**2)
    return jnp.stack([middle - radius, middle + radius])


def difference_spectrum(n: int) -> Float[Array, " n"]:
    """Eigenvalues of the second difference, the Hessian of 1/2 sum_(j=0..n) (x_(j+1) - x_j)^2."""
    # H = tridiag(-1, 2, -1), x_0 = x_(n+1) = 0.  v_i = sin(i theta): sin((i-1) theta)
    # + sin((i+1) theta) = 2 cos(theta) sin(i theta), and v_(n+1) = 0 for theta = j pi / (n + 1)
    # => lambda_j = 2 - 2 cos(theta) = 4 sin^2(theta / 2), j = 1..n
    return 4.0 * jnp.sin(0.5 * jnp.pi * jnp.arange(1, n + 1) / (n + 1)) ** 2


def quadratic_violation(
    a: Float[Array, " d"], b: Float[Array, " d"], A: Float[Array, "d d"], t: Scalar, mu: Scalar
) -> Scalar:
    """The convexity inequality of f(x) = x'Ax/2 on a segment, A symmetric."""
    # With x = t a + (1-t) b:  x'Ax - t a'Aa - (1-t) b'Ab = -t (1-t) (a-b)'A(a-b)
    v = a - b
    bend = (v[:, None] * A * v[None, :]).sum() - mu * (v * v).sum()
    return -0.5 * t * (1.0 - t) * bend


def sigmoid_mse_violation(a: Scalar, b: Scalar) -> Scalar:
    """The midpoint violation of the squared error after a sigmoid, (sigma(z) - 1)^2 / 2, y = 1.

    Positive for a, b far on the wrong side (z << 0), where the loss is concave: not convex.
    """
    # 1 - sigma(z) = 1 / (1 + e^z) =: r, f = r^2/2.  f'' = r^2 (1-r) (2 - 3 r) < 0 for r > 2/3,
    # that is for z < -log 2
    f = lambda z: 0.5 / (1.0 + jnp.exp(z)) ** 2  # noqa: E731
    return f(0.5 * (a + b)) - 0.5 * f(a) - 0.5 * f(b)
