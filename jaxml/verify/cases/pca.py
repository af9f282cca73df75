"""Principal components: stationary points, eigenpairs, what is lost, derivatives, likelihood."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _lapack
from jaxml._typing import Array
from jaxml.closed_form.latent import pca as hand
from jaxml.latent import pca
from jaxml.verify.case import ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, Numbers, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("pca",)
K = 2
SHAPES = ((14, 4), (6, 7))
PAIRS = Tolerance(1e-9, 1e-3, "rounding over the gaps of the spectrum")
ZERO = Tolerance(1e-12, 1e-4, "terms of size lambda_1 that cancel", scale=1.0)
DERIVATIVE = Tolerance(1e-10, 1e-3, "rounding over the gaps of the spectrum", stencil=1e-7)
JOLLIFFE = "Jolliffe (2002), Principal Component Analysis, section "
TB = "Tipping, Bishop (1999), eq. "


def _spread(rng: Generator, n: int, d: int) -> Numbers:
    """Rows with well-separated variances along directions drawn at random, far from 0."""
    sizes = 3.0 * 0.6 ** np.arange(d)
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return rng.standard_normal((n, d)) * sizes @ turn + rng.normal(scale=2.0, size=d)


def _data(rng: Generator, n: int, d: int) -> Point:
    return point(_spread(rng, n, d), sample_weight=rng.uniform(0.5, 2.0, size=n))


def _direction(rng: Generator, d: int) -> tuple[Numbers, ...]:
    X = _spread(rng, 3 * d, d)
    return vector(rng, d), np.cov(X.T)


def _step(rng: Generator, d: int) -> tuple[Numbers, ...]:
    return np.zeros(d), *_direction(rng, d)


def _along(rng: Generator, n: int, d: int) -> Point:
    at = _data(rng, n, d)
    return point(np.zeros(()), *at.args, rng.standard_normal((n, d)), **at.kwargs)


def _repeated(rng: Generator, n: int, d: int) -> Point:
    """The two leading eigenvalues are equal to rounding, the weights all 1."""
    Z = rng.standard_normal((n, d))
    Q = np.linalg.qr(Z - Z.mean(0))[0]
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    sizes = np.array([3.0, 3.0, 1.0, 0.5])[:d]
    return point(np.zeros(()), Q * sizes @ turn, rng.standard_normal((n, d)),
                 sample_weight=np.ones(n))  # fmt: skip


def _model(rng: Generator, n: int, d: int) -> tuple[Numbers, ...]:
    V = np.linalg.qr(rng.standard_normal((d, K)))[0].T
    noise = rng.uniform(0.2, 0.5)
    return rng.standard_normal((n, d)), rng.standard_normal(d), V, np.array([3.0, 1.5]), noise


DATA = Domain(_data, SHAPES)
DIRECTION, STEP = Domain(_direction, ((4,), (3,))), Domain(_step, ((4,), (3,)))
MODEL = Domain(_model, ((5, 4), (3, 3)))


def _fitted(X: Array, *, sample_weight: Array, method: str = "covariance") -> pca.Params:
    key = jax.random.key(7)
    fit = pca.fit(X, n_components=K, method=method, key=key, sample_weight=sample_weight)
    return fit.params


def _pairs(X: Array, *, sample_weight: Array) -> tuple[tuple[Array, Array], ...]:
    found = [
        _fitted(X, sample_weight=sample_weight, method=method)
        for method in ("covariance", "svd", "randomized")
    ]
    return tuple((params.explained_variance, params.components) for params in found)


def _pairs_by_hand(X: Array, *, sample_weight: Array) -> tuple[tuple[Array, Array], ...]:
    values, V = hand.eigenpairs(X, sample_weight=sample_weight)
    return ((values[:K], V[:K]),) * 3


def _rayleigh(u: Array, S: Array) -> Array:
    return u @ S @ u / (u @ u)


def _on_sphere(t: Array, u: Array, S: Array) -> Array:
    """The Rayleigh quotient at w + t brought back to the sphere, w = u / ||u||."""
    w = u / jnp.sqrt(u @ u) + t
    w = w / jnp.sqrt(w @ w)
    return w @ S @ w


def _slopes(X: Array, *, sample_weight: Array) -> Array:
    """Gradients of the Rayleigh quotient at each component."""
    S = hand.covariance(X, sample_weight=sample_weight)
    V = _fitted(X, sample_weight=sample_weight).components
    return jax.vmap(jax.grad(_rayleigh), (0, None))(V, S) / jnp.trace(S)


def _between(X: Array, *, sample_weight: Array) -> Array:
    """The slope half-way between the two components: no other direction is stationary."""
    S = hand.covariance(X, sample_weight=sample_weight)
    V = _fitted(X, sample_weight=sample_weight).components
    g = jax.grad(_rayleigh)((V[0] + V[1]) / jnp.sqrt(2.0), S)
    return jnp.sqrt(g @ g)


def _gap(X: Array, *, sample_weight: Array) -> Array:
    values, _ = hand.eigenpairs(X, sample_weight=sample_weight)
    return values[0] - values[1]


def _reconstruction(X: Array, *, sample_weight: Array) -> Array:
    params, s = _fitted(X, sample_weight=sample_weight), sample_weight
    back = pca.inverse_transform(params, pca.transform(params, X))
    return (s * ((X - back) ** 2).sum(axis=1)).sum() / (s.sum() - 1)


def _projector(t: Array, X: Array, dX: Array, *, sample_weight: Array) -> Array:
    V = _fitted(X + t * dX, sample_weight=sample_weight).components
    return V.T @ V


def _projector_by_hand(t: Array, X: Array, dX: Array, *, sample_weight: Array) -> Array:
    del t  # it is 0
    return hand.projector_derivative(X, dX, K, sample_weight=sample_weight)


def _first(X: Array, *, sample_weight: Array) -> Array:
    return _fitted(X, sample_weight=sample_weight).explained_variance[0]


def _whitened(X: Array, *, sample_weight: Array) -> Array:
    """The covariance of whitened coordinates."""
    Z = pca.transform(_fitted(X, sample_weight=sample_weight), X, whiten=True)
    return hand.covariance(Z, sample_weight=sample_weight)


def _at_model(X: Array, *leaves: Array) -> Array:
    return pca.log_likelihood(pca.Params(*leaves), X)


def _sum_at_model(X: Array, *leaves: Array) -> Array:
    return _at_model(X, *leaves).sum()


def _probabilistic(X: Array, *, sample_weight: Array) -> tuple[Array, Array]:
    """Gradient of -1/2 [log |C| + tr(C^-1 S)], C = W W' + sigma^2 I, at the fit."""
    S = hand.covariance(X, sample_weight=sample_weight)
    fit = _fitted(X, sample_weight=sample_weight)
    root = jnp.sqrt(fit.explained_variance - fit.noise_variance)

    def value(W: Array, noise: Array) -> Array:
        C = W @ W.T + noise * jnp.eye(S.shape[0], dtype=S.dtype)
        log_det = -2 * jnp.log(jnp.diagonal(_lapack.inverse_factor(C))).sum()
        return -0.5 * (log_det + jnp.trace(_lapack.inverse(C) @ S))

    W = fit.components.T * root[None, :]
    dW, dnoise = jax.grad(value, (0, 1))(W, fit.noise_variance)
    return dW * jnp.sqrt(fit.noise_variance), dnoise * fit.noise_variance


def _streamed(X: Array, *, sample_weight: Array) -> tuple[Array, Array]:
    half = X.shape[0] // 2
    parts = [
        pca.statistics(X[rows], sample_weight=sample_weight[rows])
        for rows in (slice(0, half), slice(half, None))
    ]
    found = pca.merge(*parts)
    return found.mean, found.scatter / (found.mass - 1)


CASES = (
    Case("latent.pca/stationary", TOPIC, "gradient",
         jax.grad(_rayleigh), hand.rayleigh_gradient, DIRECTION, ROUNDING,
         JOLLIFFE + "1.1: 2 (S u - r u) / u'u, zero exactly at S u = r u", _rayleigh),
    Case("latent.pca/riemannian-gradient", TOPIC, "gradient",
         jax.grad(_on_sphere), lambda t, u, S: hand.riemannian_gradient(u, S), STEP, ROUNDING,
         "Absil, Mahony, Sepulchre (2008), section 4.6", _on_sphere),
    Case("latent.pca/components-stationary", TOPIC, "identity",
         _slopes, lambda X, **kw: 0.0 * X[:K], DATA, ZERO, JOLLIFFE + "1.1: S v = lambda v"),
    Case("latent.pca/nothing-else-stationary", TOPIC, "identity",
         _between,
         _gap, DATA, PAIRS,
         "S (v_1 + v_2) = l_1 v_1 + l_2 v_2: the slope half-way is l_1 - l_2"),
    Case("latent.pca/fit", TOPIC, "solution",
         _pairs, _pairs_by_hand, DATA, PAIRS,
         JOLLIFFE + "3.5: explained variances are eigenvalues, squared singular values"),
    Case("latent.pca/reconstruction", TOPIC, "identity",
         _reconstruction, lambda X, **kw: hand.discarded(X, K, **kw), DATA, PAIRS,
         "tr[(I - V'V) S] = the sum of the discarded eigenvalues"),
    Case("latent.pca/whitened", TOPIC, "identity",
         _whitened, lambda X, **kw: jnp.eye(K, dtype=X.dtype), DATA, PAIRS, "V S V' = Lambda",
         symmetric=True),
    Case("latent.pca/eigenvalue-derivative", TOPIC, "gradient",
         jax.grad(_first), lambda X, **kw: hand.eigenvalue_derivative(X, 0, **kw), DATA,
         DERIVATIVE, "d lambda = v'dS v", _first),
    Case("latent.pca/projector-derivative", TOPIC, "jacobian",
         jax.jacrev(_projector),
         _projector_by_hand, Domain(_along, ((14, 4),)),
         DERIVATIVE, "first-order perturbation of an invariant subspace", _projector,
         symmetric=True),
    Case("latent.pca/log-likelihood", TOPIC, "identity",
         _at_model, hand.log_likelihood, MODEL, ROUNDING,
         TB + "(4), with the d x d covariance"),
    Case("latent.pca/log-likelihood-gradient", TOPIC, "gradient",
         jax.grad(_sum_at_model), hand.log_likelihood_gradient, MODEL, ROUNDING,
         "-C^-1 (x - m)", _sum_at_model),
    Case("latent.pca/probabilistic-stationary", TOPIC, "identity",
         _probabilistic,
         lambda X, **kw: (jnp.zeros((X.shape[1], K), X.dtype), jnp.zeros((), X.dtype)),
         Domain(_data, ((14, 4),)), ZERO, TB + "(7), (8)"),
    Case("latent.pca/merge", TOPIC, "identity",
         _streamed,
         lambda X, sample_weight: (
             (sample_weight[:, None] * X).sum(axis=0) / sample_weight.sum(),
             hand.covariance(X, sample_weight=sample_weight)),
         DATA, ROUNDING, "Chan, Golub, LeVeque (1983), eq. (2.1)", symmetric=True),
)  # fmt: skip
SPECIAL = (
    Case("latent.pca/projector-derivative@repeated", TOPIC, "jacobian",
         jax.jacrev(_projector),
         _projector_by_hand,
         Domain(_repeated, ((12, 4),)), DERIVATIVE,
         "terms with both vectors kept cancel, also where their gap is 0", _projector,
         symmetric=True),
)  # fmt: skip
