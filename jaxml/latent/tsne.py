"""t-SNE: points in few dimensions whose neighbors are the neighbors that the rows of X have.

    KL(P||Q) = sum_{i != j} p_ij log(p_ij / q_ij)
    p_ij = (c_ij + c_ji) / (2 n),    c_ij ~ exp(-b_i ||x_i - x_j||^2),    entropy log perplexity
    q_ij = w_ij / Z,    w_ij = 1 / (1 + ||y_i - y_j||^2),    Z = sum_{i != j} w_ij

It is KL(P||Q), not KL(Q||P): neighbors (p large) placed apart (q small) cost much, strangers placed
close cost little, so that neighborhoods are kept. The minimizer is never unique: Y may be moved,
turned and mirrored, and other local minima exist.

Reference: van der Maaten, Hinton (2008), Visualizing data using t-SNE, JMLR 9, eq. (1) to (5);
early exaggeration, momentum and gains as in van der Maaten's implementation.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, all_finite, certify
from jaxml._numerics import xlogx
from jaxml._typing import Array, ArrayLike, Float, Key, Real, Rows, Scalar
from jaxml.latent import _affinities, _descent, _forces

__all__ = ["Params", "affinities", "fit", "loss"]

INITS = ("pca", "random")
DENSE = 512  # rows up to which all pairs are kept, instead of those of a neighbor graph
REACH = 3  # perplexities: the neighbors of the graph; beyond, e^(-b D) is below 1 / 100 or so
TOL = 1e-3  # at 1e-2 picture and KL still change


class Params(NamedTuple):
    """Where t-SNE places the rows of X."""

    embedding: Float[Array, "n c"]  # Y, of no unit and with mean 0


def affinities(X: ArrayLike, *, perplexity: Real) -> Float[Array, "n n"]:
    """Return P (n, n): symmetric, of sum 1, with 0 on the diagonal.

    The entropy of c_i is log perplexity to 1e-8 in float64 and 1e-4 in float32, relative to the
    perplexity. A point with more than perplexity others at its least distance keeps all of these
    alike: no width gives less. Memory n^2; fit keeps only near neighbors of large data.

    Args:
      X: Rows (n, d), float32 or float64; integers become the default float.
      perplexity: How many neighbors a point has, in effect; 1 to n - 1, traced.

    Returns:
      P, differentiable in X and perplexity by the implicit function theorem; NaN if traced X holds
      NaN or inf.

    Raises:
      ValueError: perplexity >= n or < 1, or a concrete X holds NaN or inf.

    Example:
      >>> affinities([[0.0], [1.0]], perplexity=1.0).tolist()
      [[0.0, 0.5], [0.5, 0.0]]
    """
    X = _check.finite("X", _check.array("X", X, ndim=2))
    return _dense(X, _perplexity(perplexity, X))


_dense = jax.jit(_affinities.dense)


def loss(Y: Float[Array, "n c"], P: Float[Array, "n n"]) -> Scalar:
    """Return KL(P||Q) of the embedding Y; differentiable in both, also at coincident points."""
    squares = jnp.sum((Y[:, None, :] - Y[None, :, :]) ** 2, axis=2)
    other = ~jnp.eye(Y.shape[0], dtype=bool)
    log_Z = jnp.log(jnp.sum(jnp.where(other, 1.0 / (1.0 + squares), 0.0)))
    return jnp.sum(jnp.where(other, xlogx(P) + P * (jnp.log1p(squares) + log_Z), 0.0))


def fit(
    X: ArrayLike,
    *,
    key: Key[Array, ""],
    n_components: int = 2,
    perplexity: Real = 30.0,
    early_exaggeration: Real = 12.0,
    learning_rate: Real | str = "auto",
    init: str | ArrayLike = "pca",
    exaggeration_iter: int = 250,
    max_iter: int = 1000,
    tol: Real = TOL,
) -> Fit[Params]:
    """Minimize KL(P||Q) over Y by gradient descent with momentum and gains.

    Up to 512 rows P holds all pairs; of more, the 3 perplexity nearest neighbors of each row, by
    exact search and made symmetric. Q is always exact: n^2 operations and O(n) memory per step,
    about 0.2 s at n = 20 000 on one core of a CPU. Rows may not be sharded.

    Args:
      X: Rows (n, d), float32 or float64; integers become the default float.
      key: Seeds init="random", and with "pca" the columns in which X does not vary.
      n_components: Static; c, mostly 2.
      perplexity: How many neighbors a point has, in effect; 1 to n - 1. Traced up to 512 rows,
        beyond it decides a shape.
      early_exaggeration: P is multiplied by it at first, so that clusters form; traced.
      learning_rate: Traced, > 0; "auto" is max(n / (4 early_exaggeration), 50), as in scikit-learn.
      init: "pca": principal components, the largest entry of each direction positive, scaled to a
        standard deviation of 1e-4; "random": normal, 1e-4; or the first Y, (n, c).
      exaggeration_iter: The steps with early_exaggeration and momentum 0.5; 0.8 after.
      max_iter: Bound on all steps, a Python integer like the one above; neither recompiles.
      tol: What the residual must not exceed; steps end there once exaggeration is over.

    Returns:
      Params, and Info with objective = KL(P||Q) and residual = ||dKL/dY|| over the norm of its
      attractive part, in the Frobenius norm: how far pull and push are from balance.
      MAX_ITER: they are farther apart than tol, and the picture may still change; so end most
      fits of 1000 steps. DEGENERATE: all rows are equal. DIVERGED: the learning rate is too
      large.
      There is no sample_weight: rows are placed, not summed over. All derivatives of a fit are
      0: the minimizer is not isolated, and its derivative not defined. Those of loss and
      affinities are exact.

    Raises:
      ValueError: perplexity >= n, a hyperparameter out of its domain, init of another shape, or a
        concrete array holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> X = jnp.array([[0.0], [1.0], [10.0], [11.0]])  # two pairs
      >>> Y = fit(X, key=jax.random.key(0), perplexity=1.5, learning_rate=1.0).params.embedding
      >>> bool(jnp.linalg.norm(Y[0] - Y[1]) < jnp.linalg.norm(Y[0] - Y[2]))
      True
    """
    X = _check.array("X", X, ndim=2)
    n, dtype = X.shape[0], X.dtype
    k = None
    if n > DENSE:
        if not _check.is_concrete(perplexity):
            raise ValueError(f"perplexity must be a number known when X has more than {DENSE} rows")
        _perplexity(perplexity, X)
        k = max(1, min(n - 1, int(REACH * float(perplexity))))
    c = _check.integer("n_components", n_components, 1)
    exaggeration = _check.above("early_exaggeration", early_exaggeration, 0, dtype=dtype)
    if isinstance(learning_rate, str):
        _check.choice("learning_rate", learning_rate, ("auto",))
        rate = jnp.maximum(n / (4 * exaggeration), 50)
    else:
        rate = _check.above("learning_rate", learning_rate, 0, dtype=dtype)
    if isinstance(init, str):
        _check.choice("init", init, INITS)
    else:
        init = _check.finite("init", _check.array("init", init, ndim=2, dtype=dtype))
        if init.shape != (n, c):
            raise ValueError(f"init must have shape {(n, c)}: got {init.shape}")
    given = None if isinstance(init, str) else init
    args = X, given, key, _perplexity(perplexity, X), exaggeration, rate
    tol = _check.above("tol", tol, 0, dtype=dtype)
    steps = _check.integer("max_iter", max_iter, 1)
    early = _check.integer("exaggeration_iter", exaggeration_iter, 0)
    start = init if isinstance(init, str) else "given"
    return _check.raise_for(_fit(*args, tol, steps, early, c=c, k=k, start=start), *args)


def _perplexity(perplexity: Any, X: Rows) -> Scalar:
    n = X.shape[0]
    perplexity = _check.at_least("perplexity", perplexity, 1, dtype=X.dtype)
    if _check.is_concrete(perplexity) and float(perplexity) > n - 1:
        raise ValueError(
            f"perplexity must be less than the number of rows, at most {n - 1}: "
            f"got {float(perplexity)}"
        )
    return perplexity


@partial(jax.jit, static_argnames=("c", "k", "start"))
def _fit(
    X: Rows, given: Array | None, key: Array, perplexity: Scalar, exaggeration: Scalar,
    rate: Scalar, tol: Scalar, max_iter: Array, early: Array, *, c: int, k: int | None, start: str,
) -> Fit[Params]:  # fmt: skip
    X, given, *traced = jax.lax.stop_gradient((X, given, perplexity, exaggeration, rate, tol))
    perplexity, exaggeration, rate, tol = traced
    bad = ~all_finite((X, given, perplexity, exaggeration, rate))
    X = jnp.where(jnp.isfinite(X), X, 0.0)
    Y = given if given is not None else _descent.start(X, key, c, start)
    if k is None:
        data: Any = (_affinities.dense(X, perplexity), None)
    else:
        graph = _affinities.neighbor_graph(X, perplexity, k)
        data = (graph, _forces.slots(graph))
    descend = one_at_a_time(_descent.descend)
    state = descend(Y, data, exaggeration, rate, tol, max_iter, early)
    Y, Z = state.Y, state.forces.Z
    divergence = loss(Y, data[0]) if k is None else _forces.kl_of_graph(Y, data[0], Z)
    impossible = ~((perplexity >= 1) & (perplexity <= X.shape[0] - 1))
    return certify(
        Params(Y),
        objective=divergence,
        residual=_descent.residual(state.forces),
        tol=tol,
        n_iter=state.t,
        flags=(
            (Code.NONFINITE_INPUT, bad),
            (Code.DEGENERATE, _constant(X) | impossible),
        ),
    )


def _constant(X: Rows) -> Array:
    return (jnp.max(X, axis=0) == jnp.min(X, axis=0)).all()
