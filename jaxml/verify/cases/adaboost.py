"""AdaBoost: the weight of a tree, the weights of the rows after it, what the rounds add up to."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array
from jaxml.closed_form.trees import adaboost as hand
from jaxml.trees import adaboost, tree
from jaxml.verify.case import ROUNDING, SOLVE, Case, Tolerance
from jaxml.verify.domains import Domain, Generator, Numbers, labels

__all__ = ["CASES"]

TOPIC = ("adaboost",)
ZHU = "Zhu et al. (2009), "
SHAPES = ((24, 2, 2), (17, 3, 3))  # n, d, K
ROUNDS = 3


def _noisy(rng: Generator, n: int, d: int, K: int) -> tuple[Numbers, ...]:
    """Rows whose labels follow the first column and noise; weights apart, so that nothing ties."""
    X: Numbers = rng.standard_normal((n, d))
    y = labels(rng, n, K)
    y[K:] = ((X[K:, 0] > 0.2) + rng.integers(0, K, n - K) * (rng.random(n - K) < 0.4)) % K
    return X, y.astype("int32"), rng.uniform(0.5, 2.0, size=n)


def _stump(rng: Generator, n: int, d: int, K: int) -> tuple[Numbers, ...]:
    """alpha of one stump, its feature, threshold and votes, some rows of which it gets wrong."""
    X, y, s = _noisy(rng, n, d, K)
    code = (1.0 + 1.0 / (K - 1)) * (labels(rng, 2, 2)[:, None] == range(K)) - 1.0 / (K - 1)
    t = rng.uniform(-0.3, 0.3)
    return rng.uniform(0.2, 1.0), t, code, X, y, s


def _params(alpha: Array, t: Array, code: Array) -> adaboost.Params:
    feature = jnp.array([[0, -1, -1]], jnp.int32)
    value = jnp.concatenate([0 * code[:1], code])[None]
    decrease = jnp.ones((1, 1), t.dtype)
    stump = tree.Params(feature, jnp.stack([t, 0 * t, 0 * t])[None], value, decrease)
    return adaboost.Params(alpha[None], stump)


def _loss(alpha: Array, t: Array, code: Array, X: Array, y: Array, s: Array) -> Array:
    return adaboost.loss(_params(alpha, t, code), X[:, :1], y, sample_weight=s)


def _wrong(t: Array, code: Array, X: Array, y: Array) -> Array:
    return jnp.where(X[:, 0] <= t, code[0].argmax(), code[1].argmax()) != y


def _by_hand(f: Any, alpha: Array, t: Array, code: Array, X: Array, y: Array, s: Array) -> Array:
    return f(alpha, _wrong(t, code, X, y), s, K=code.shape[1])


def _root(alpha: Array, *rest: Array) -> Array:
    """The root of dL/dalpha, by autodiff and bisection."""
    slope = jax.grad(_loss)

    def half(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        above = slope(middle, *rest) > 0
        return jnp.where(above, ends[0], middle), jnp.where(above, middle, ends[1])

    low, high = jax.lax.fori_loop(0, 60, half, (alpha - 20.0, alpha + 20.0))
    return (low + high) / 2


def _alpha(alpha: Array, t: Array, code: Array, X: Array, y: Array, s: Array) -> Array:
    del alpha
    eps = jnp.where(_wrong(t, code, X, y), s, 0.0).sum() / s.sum()
    return hand.alpha(eps, K=code.shape[1])


def _weights_after(alpha: Array, t: Array, code: Array, X: Array, y: Array, s: Array) -> Array:
    """s_i dL/ds_i at the root, up to the mean that weights are divided by: the new weights."""
    at = _params(_root(alpha, t, code, X, y, s), t, code)
    X = X[:, :1]
    L = adaboost.loss(at, X, y, sample_weight=s)
    # L = sum s_i L_i / sum s  =>  dL/ds_i = (L_i - L) / sum s  =>  w_i = s_i L_i
    slope = jax.grad(lambda s: adaboost.loss(at, X, y, sample_weight=s))(s)
    w = s * (slope * s.sum() + L)
    return w / w.sum()


def _reweighted(alpha: Array, t: Array, code: Array, X: Array, y: Array, s: Array) -> Array:
    del alpha
    return hand.reweighted(_wrong(t, code, X, y), s, K=code.shape[1])


def _error_after(*args: Array) -> Array:
    w = _weights_after(*args)
    _, t, code, X, y, _ = args
    return jnp.where(_wrong(t, code, X, y), w, 0.0).sum()


def _half(*args: Array) -> Array:
    K = args[2].shape[1]
    return jnp.asarray(1 - 1 / K, args[0].dtype)


def _fit(K: int, X: Array, y: Array, s: Array) -> Any:
    return adaboost.fit(X, y, n_classes=K, n_estimators=ROUNDS, sample_weight=s)


def _fitted(K: int, X: Array, y: Array, s: Array) -> dict[str, Array]:
    (alpha, trees), info = _fit(K, X, y, s)
    F = adaboost.decision_function(adaboost.Params(alpha, trees), X) * alpha.sum()
    return {
        "alpha": alpha,
        "feature": trees.feature[:, 0],
        "threshold": trees.threshold[:, 0],
        "margin": jnp.take_along_axis(F, y[:, None], axis=1)[:, 0] / (K - 1),
        "loss": info.objective,
        "probability": adaboost.predict_proba(adaboost.Params(alpha, trees), X),
    }


def _by_rounds(K: int, X: Array, y: Array, s: Array) -> dict[str, Array]:
    found = hand.fit(X, y, sample_weight=s, n_estimators=ROUNDS, K=K)
    return {
        "alpha": found.alpha,
        "feature": found.feature.astype(jnp.int32),
        "threshold": found.threshold,
        "margin": jnp.take_along_axis(found.F, y[:, None], axis=1)[:, 0] / (K - 1),
        "loss": jnp.prod(hand.factor(found.eps, K=K)),
        "probability": hand.probability(found.F),
    }


def _training_error(K: int, X: Array, y: Array, s: Array) -> Array:
    wrong = adaboost.predict(_fit(K, X, y, s).params, X) != y
    return jnp.where(wrong, s, 0.0).sum() / s.sum()


def _product(K: int, X: Array, y: Array, s: Array, *, part: float = 1.0) -> Array:
    return part * _by_rounds(K, X, y, s)["loss"]


STUMP = Domain(_stump, SHAPES)
BISECTED = Tolerance(1e-7, 1e-2, "bisection where the slope is rounding")
BOUND = Tolerance(1e-12, 1e-5, "rounding of a sum")


CASES = (
    Case("trees.adaboost/loss", TOPIC, "identity",
         _loss, partial(_by_hand, hand.exponential_loss), STUMP, ROUNDING, ZHU + "eq. (4)"),
    Case("trees.adaboost/derivative", TOPIC, "gradient",
         jax.grad(_loss), partial(_by_hand, hand.derivative), STUMP, ROUNDING, ZHU + "lemma 1",
         _loss),
    Case("trees.adaboost/alpha-is-the-root", TOPIC, "solution",
         _root, _alpha, STUMP, BISECTED, "Freund, Schapire (1997); " + ZHU + "lemma 1"),
    Case("trees.adaboost/weights-after", TOPIC, "identity",
         _weights_after, _reweighted, STUMP, BISECTED, ZHU + "algorithm 2, step 2d"),
    Case("trees.adaboost/error-after", TOPIC, "identity",
         _error_after, _half, STUMP, BISECTED, "dL/dalpha = 0"),
    Case("trees.adaboost/fit", TOPIC, "solution",
         partial(_fitted, 3), partial(_by_rounds, 3), Domain(_noisy, SHAPES[1:]), SOLVE,
         ZHU + "algorithm 2; Friedman et al. (2000), lemma 1, for the probabilities"),
    Case("trees.adaboost/training-error", TOPIC, "bound",
         partial(_training_error, 2), partial(_product, 2), Domain(_noisy, SHAPES[:1]),
         BOUND,
         "Freund, Schapire (1997), theorem 6: prod 2 sqrt(eps (1 - eps))",
         mutants=(partial(_product, 2, part=0.1),)),
)  # fmt: skip
