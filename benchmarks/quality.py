"""Neutral judges of an answer: float64 NumPy, sharing no code with either side.

Smooth problems are judged by (J(w, b) - J*) / J*, with

    J(w, b) = sum_i p_i loss(x_i'w + b, y_i) + (l2/2) ||w||^2,    p_i = s_i / sum_j s_j

and J* from Newton's method in float64, run until its decrement is below rounding. Problems with an
L1 penalty are judged by the duality gap over J(0) of the centered problem, which needs no J*.

Reference: Boyd, Vandenberghe (2004), Convex Optimization, sections 9.5 (decrement), 5.5.1 (gap).
"""

from collections.abc import Callable

import numpy as np

__all__ = ["Smooth", "lasso_gap"]

Array = np.ndarray
Curvature = Callable[[int, int], Array]  # (a, b) -> d2 loss / dz_a dz_b, one number per row


def _squared(z: Array, y: Array) -> tuple[Array, Array, Curvature]:
    r = z[:, 0] - y
    return 0.5 * r**2, r[:, None], lambda a, b: np.ones_like(r)


def _logistic(z: Array, y: Array) -> tuple[Array, Array, Curvature]:
    z = z[:, 0]
    t = np.exp(-np.abs(z))
    p = np.where(z >= 0, 1.0, t) / (1.0 + t)
    loss = np.logaddexp(0.0, np.where(y > 0, -z, z))
    return loss, (p - y)[:, None], lambda a, b: p * (1.0 - p)


def _softmax(z: Array, y: Array) -> tuple[Array, Array, Curvature]:
    rows = np.arange(len(y))
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    p = e / total
    grad = p.copy()
    grad[rows, y] -= 1.0
    return np.log(total[:, 0]) - z[rows, y], grad, lambda a, b: p[:, a] * ((a == b) - p[:, b])


LOSSES = {"squared": _squared, "logistic": _logistic, "softmax": _softmax}


class Smooth:
    """J of one smooth problem, and how far an answer is from its minimum."""

    def __init__(self, loss: str, X: Array, y: Array, *, l2: float, weight: Array | None = None):
        weight = np.ones(len(X)) if weight is None else np.asarray(weight, np.float64)
        kept = weight > 0
        self.loss = LOSSES[loss]
        self.A = np.column_stack([np.asarray(X, np.float64)[kept], np.ones(kept.sum())])
        self.y = np.asarray(y)[kept] if loss == "softmax" else np.asarray(y, np.float64)[kept]
        self.p = weight[kept] / weight.sum()
        self.decay = l2 * np.append(np.ones(X.shape[1]), 0.0)  # the intercept is free
        self.least: float | None = None

    def _value(self, W: Array) -> float:
        return float(self.p @ self.loss(self.A @ W, self.y)[0] + 0.5 * self.decay @ (W**2).sum(1))

    def _newton(self, W: Array) -> tuple[Array, float]:
        """Return the Newton direction at W and its decrement g'H^-1 g."""
        _, r, curvature = self.loss(self.A @ W, self.y)
        d, k = W.shape
        g = self.A.T @ (self.p[:, None] * r) + self.decay[:, None] * W
        H = np.zeros((k, d, k, d))
        for a in range(k):
            for b in range(a, k):
                H[a, :, b] = self.A.T @ ((self.p * curvature(a, b))[:, None] * self.A)
                H[b, :, a] = H[a, :, b].T
            H[a, :, a] += np.diag(self.decay)
        # Softmax is flat along equal shifts of all intercepts: the least-norm step ignores it.
        step = np.linalg.lstsq(H.reshape(k * d, k * d), g.T.ravel(), rcond=1e-13)[0]
        return step.reshape(k, d).T, float(g.T.ravel() @ step)

    def minimum(self, W: Array) -> float:
        """Return J*, by damped Newton from W."""
        J = self._value(W)
        for _ in range(100):
            step, decrement = self._newton(W)
            if decrement <= 1e-15 * max(abs(J), 1e-300):
                break
            t = 1.0
            while self._value(W - t * step) > J - 0.25 * t * decrement and t > 1e-9:
                t /= 2
            moved = self._value(W - t * step)
            if not moved < J:  # rounding of J hides any further progress
                break
            W, J = W - t * step, moved
        return J

    def gap(self, coef: Array, intercept: Array) -> float:
        """Return (J - J*) / J*; inf for an answer that is not finite."""
        coef = np.asarray(coef, np.float64)
        W = np.vstack(
            [coef.reshape(len(coef), -1), np.asarray(intercept, np.float64).reshape(1, -1)]
        )
        if not np.isfinite(W).all():
            return float("inf")
        if self.least is None:
            self.least = self.minimum(W)
        J = self._value(W)
        self.least = min(self.least, J)
        return (J - self.least) / abs(self.least)


def lasso_gap(
    X: Array, y: Array, coef: Array, intercept: Array, *, l1: Array, weight: Array | None = None
) -> Array:
    """Return the duality gap of each of m answers, relative to J(0).

        P(w, b) = 1/2 sum_i p_i r_i^2 + l1 ||w||_1,           r = y - X w - b
        D(c)    = c sum_i p_i q_i y_i - c^2/2 sum_i p_i q_i^2,  q = r - sum_i p_i r_i
        c       = min(1, l1 / max_j |sum_i p_i q_i x_ij|)       makes c q dual feasible

    Args:
      X: Features (n, d).
      y: Targets (n,).
      coef: w of each answer, (m, d).
      intercept: b of each answer, (m,).
      l1: Penalty of each answer, (m,).
      weight: s_i, or None for ones; rows of weight zero are left out.
    """
    kept = slice(None) if weight is None else np.asarray(weight) > 0
    X, y = np.asarray(X, np.float64)[kept], np.asarray(y, np.float64)[kept]
    p = np.full(len(y), 1.0 / len(y)) if weight is None else np.asarray(weight, np.float64)[kept]
    p = (p / p.sum())[:, None]
    coef = np.asarray(coef, np.float64).T  # (d, m)
    r = y[:, None] - X @ coef - np.asarray(intercept, np.float64)[None, :]
    primal = 0.5 * (p * r**2).sum(0) + l1 * np.abs(coef).sum(0)
    q = r - (p * r).sum(0)
    c = np.minimum(1.0, l1 / np.maximum(np.abs(X.T @ (p * q)).max(0), 1e-300))
    centered = y[:, None] - (p[:, 0] @ y)
    dual = c * (p * q * centered).sum(0) - 0.5 * c**2 * (p * q**2).sum(0)
    gap = (primal - dual) / (0.5 * (p * centered**2).sum(0))
    return np.where(np.isfinite(gap), np.maximum(gap, 0.0), np.inf)
