"""What can be proved of a loss: a table of facts, and the rules that carry them to compositions.

    f(x) = sum_i s_i l((A x + b)_i, y_i),  s >= 0:   convex if l is;
        l'' >= m  =>  mu = m lambda_min(A'SA),      l'' <= M  =>  L = M lambda_max(A'SA)
        strict if l is and A'SA > 0;                not strict if A x = A x' for some x != x'
    f + g:  mu and L add, strict if either is;   c f, c > 0:  mu and L times c;   max(f, g):  min mu

A proof rests on the table, on these rules and on nothing sampled. The one number it computes, the
spectrum of A'SA, is taken in float64 and is moved by more than its rounding to the safe side.
For a function given only as code there is one certificate, ``quadratic``.

Reference: Boyd, Vandenberghe (2004), Convex Optimization, sections 3.1 and 3.2; Boehning (1992),
Multinomial logistic regression algorithm, for softmax.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import losses, penalties
from jaxml._typing import Array, ArrayLike, Scalar, Weights
from jaxml.analysis import _program

__all__ = [
    "Curvature", "Expression", "add", "affine", "compose", "maximum", "penalty", "quadratic",
    "scale",
]  # fmt: skip


class Curvature(NamedTuple):
    """What is proved of a convex function on R^d: mu I <= H <= L I."""

    strict: bool | None  # strictly convex; None: neither proved nor refuted
    strong: bool | None  # strongly convex with some modulus
    mu: float  # a proved modulus; 0 if none
    L: float  # a proved Lipschitz constant of the gradient; inf if none


class Expression(NamedTuple):
    """A convex function with its proof; call it like the function."""

    function: Callable[..., Scalar]  # x -> scalar
    curvature: Curvature
    basis: str  # what the proof rests on, in words

    def __call__(self, x: Array) -> Scalar:
        """Evaluate the function."""
        return self.function(x)


class _Atom(NamedTuple):
    curvature: Curvature  # in the score z
    signed: bool = False  # y in {-1, +1}


# The facts of each loss in z, from its second derivative (jaxml.losses; by hand in closed_form).
_LOSSES = {
    losses.squared: _Atom(Curvature(True, True, 1.0, 1.0)),
    losses.absolute: _Atom(Curvature(False, False, 0.0, math.inf)),
    losses.huber: _Atom(Curvature(False, False, 0.0, 1.0)),
    losses.logistic: _Atom(Curvature(True, False, 0.0, 0.25)),
    losses.hinge: _Atom(Curvature(False, False, 0.0, math.inf), signed=True),
    losses.squared_hinge: _Atom(Curvature(False, False, 0.0, 2.0), signed=True),
    losses.exponential: _Atom(Curvature(True, False, 0.0, math.inf), signed=True),
    losses.softmax_cross_entropy: _Atom(Curvature(False, False, 0.0, 0.5)),
}


def compose(
    loss: Callable[..., Array],
    A: ArrayLike,
    b: ArrayLike = 0.0,
    *,
    y: ArrayLike,
    sample_weight: Weights = None,
) -> Expression:
    """Return x -> sum_i s_i loss((A x + b)_i, y_i) with its proof.

    Args:
      loss: One of jaxml.losses. For softmax_cross_entropy x is (d, k), otherwise (d,).
      A: (n, d).
      b: (n,), (n, k) or a number.
      y: n targets or labels.
      sample_weight: s_i >= 0; None stands for ones (a sum, not a mean).

    Raises:
      ValueError: The loss is not in the table, a weight is negative, or y is not -1 or +1 for a
        loss of signed labels.
    """
    if loss not in _LOSSES:
        known = ", ".join(f.__name__ for f in _LOSSES)
        raise ValueError(f"loss must be one of {known}, whose curvature is known: got {loss!r}")
    A, y = jnp.asarray(A), jnp.asarray(y)
    n, d = A.shape
    s = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if s.shape != (n,) or not (s >= 0).all():
        raise ValueError(f"sample_weight needs {n} entries >= 0: got {s}")
    atom, signed = _LOSSES[loss]
    if signed and not np.isin(y, (-1, 1)).all():
        raise ValueError(f"{loss.__name__} needs labels -1 or +1: got {np.unique(y)}")

    def function(x: Array) -> Scalar:
        z = jnp.matmul(A, x, precision=jax.lax.Precision.HIGHEST) + b
        # As an integer, y would have no tangent type of its own.
        target = y if loss is losses.softmax_cross_entropy else y.astype(z.dtype)
        return jnp.sum(jnp.asarray(s, z.dtype) * jax.vmap(loss)(z, target))

    low, high = _gram_ends(np.asarray(A, np.float64), s)
    # Along a direction in the null space of A, or off a single row, f repeats or repeats l.
    flat = (s > 0).sum() < d or (n == 1 and atom.strict is False)
    weak = (s > 0).sum() < d or (n == 1 and atom.strong is False)
    curvature = Curvature(
        strict=False if flat else (True if atom.strict and low > 0 else None),
        strong=True if atom.mu * low > 0 else (False if weak else None),
        mu=atom.mu * low,
        L=atom.L * high if high > 0 else 0.0,
    )
    return Expression(function, curvature, f"{loss.__name__} of an affine map, weights >= 0")


def _gram_ends(A: np.ndarray, s: np.ndarray) -> tuple[float, float]:
    """A lower and an upper bound of the spectrum of A' diag(s) A."""
    G = A.T @ (s[:, None] * A)
    values = np.linalg.eigvalsh(G)
    # |error of G| <= (n + 2) eps A'SA entrywise, at most trace(G) in norm; eigvalsh adds d eps.
    slack = 4 * (sum(A.shape) + 2) * np.finfo(np.float64).eps * np.trace(G)
    return max(float(values[0] - slack), 0.0), float(max(values[-1], 0.0) + slack)


def penalty(name: str, *, l1_ratio: float = 0.5) -> Expression:
    """Return a penalty of jaxml.penalties, "l1", "l2" or "elastic_net", with its proof.

    Raises:
      ValueError: The name is unknown, or l1_ratio is outside [0, 1].
    """
    if not 0.0 <= l1_ratio <= 1.0:
        raise ValueError(f"l1_ratio must be in [0, 1]: got {l1_ratio}")
    l1 = Expression(penalties.l1, Curvature(False, False, 0.0, math.inf), "a norm")
    l2 = Expression(penalties.l2, Curvature(True, True, 1.0, 1.0), "||w||^2 / 2")
    table = {"l1": l1, "l2": l2, "elastic_net": add(scale(l1_ratio, l1), scale(1 - l1_ratio, l2))}
    if name not in table:
        raise ValueError(f"name must be one of {', '.join(table)}: got {name!r}")
    return table[name]


def affine(a: ArrayLike, b: ArrayLike = 0.0) -> Expression:
    """Return x -> <a, x> + b, convex and concave, with its proof."""
    a = jnp.asarray(a)
    curvature = Curvature(False, False, 0.0, 0.0)
    return Expression(lambda x: jnp.vdot(a, x) + b, curvature, "an affine function")


def scale(c: float, f: Expression) -> Expression:
    """Return c f for c >= 0.

    Raises:
      ValueError: c is negative or not finite: -f is concave.
    """
    if not 0.0 <= c < math.inf:
        raise ValueError(f"c must be finite and >= 0: got {c}")
    strict, strong, mu, L = f.curvature
    proved = Curvature(strict, strong, c * mu, c * L) if c else Curvature(False, False, 0.0, 0.0)
    return Expression(lambda x: c * f(x), proved, f"{c:g} times ({f.basis})")


def add(*terms: Expression) -> Expression:
    """Return the sum of the terms."""
    curvatures = [f.curvature for f in terms if f.curvature.L > 0]  # the others are affine
    # No rule refutes a sum of several: |x| is not strict, nor is x^2 in one of two variables.
    unknown = None if len(curvatures) > 1 else False
    proved = Curvature(
        True if any(c.strict for c in curvatures) else unknown,
        True if any(c.strong for c in curvatures) else unknown,
        sum(c.mu for c in curvatures),
        sum(c.L for c in curvatures),
    )
    basis = " + ".join(f.basis for f in terms)
    return Expression(lambda x: sum((f(x) for f in terms[1:]), terms[0](x)), proved, basis)


def maximum(*terms: Expression) -> Expression:
    """Return the pointwise maximum of the terms."""
    curvatures = [f.curvature for f in terms]
    proved = Curvature(
        True if all(c.strict for c in curvatures) else None,
        True if all(c.mu > 0 for c in curvatures) else None,
        min(c.mu for c in curvatures),
        math.inf,
    )
    basis = f"max({', '.join(f.basis for f in terms)})"
    return Expression(lambda x: jnp.stack([f(x) for f in terms]).max(), proved, basis)


def quadratic(f: Callable[[Array], Scalar], x: Array) -> Curvature | None:
    """Return the curvature of f if its code shows that it is a convex quadratic, else None.

    f is proved convex if its Hessian, one matrix for all x, is in the dtype of x 0 or has no
    eigenvalue below 10 n eps ||H||; a semidefinite H is singular to rounding and stays unproved.
    """
    H = _program.constant_hessian(f, x)
    if H is None:
        return None
    values = np.linalg.eigvalsh(np.asarray(H))
    L = float(np.abs(values).max())
    if L == 0.0:
        return Curvature(False, False, 0.0, 0.0)
    slack = 10 * x.size * float(jnp.finfo(x.dtype).eps) * L
    low = float(values[0]) - slack
    return Curvature(True, True, low, L + slack) if low > 0 else None
