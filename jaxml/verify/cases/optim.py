"""Optimizers: paths on quadratics, rates, Adam's moments, gradients of mini-batches."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxml import losses, optim
from jaxml._typing import Array, PyTree
from jaxml.closed_form.optim import adaptive, first_order, stochastic
from jaxml.verify.case import ROUNDING, STANDARD_ERRORS, Case, Expected, Tolerance
from jaxml.verify.domains import Domain, Generator, labels, vector

__all__ = ["CASES"]

STEPS = 12
DECAY = 0.8
ADAM = {"b1": 0.8, "b2": 0.97, "eps": 1e-3}
CURVATURES = (0.5, 4.0)  # mu and L of the quadratics drawn here
RATES = (0.2, 1.8, 1.95, 2.05, 2.6)  # lr L: stable below 2
PATH = Tolerance(1e-12, 3e-5, "rounding, kept small over 12 stable steps", scale=1.0)
ENTRIES = Tolerance(1e-12, 3e-5, "rounding, grown by 8 steps", norm="entry")


def _rotation(rng: Generator, d: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def _quadratic(rng: Generator, d: int) -> tuple:
    """H with eigenvalues from mu to L, the minimum, the start, and lr in the stable range."""
    mu, L = CURVATURES
    lam = np.concatenate([[mu, L], rng.uniform(mu, L, d)])[:d]
    V = _rotation(rng, d)
    return (V * lam) @ V.T, vector(rng, d), vector(rng, d, scale=2.0), rng.uniform(0.1, 1.5) / L


def _steepest(rng: Generator, d: int) -> tuple:
    """H, and a start along the eigenvector of its largest eigenvalue L."""
    V = _rotation(rng, d)
    lam = np.sort(rng.uniform(*CURVATURES, d))
    return (V * lam) @ V.T, V[:, -1] * rng.uniform(1.0, 3.0), lam[-1]


QUADRATIC = Domain(_quadratic, ((4,), (1,)))
STEEPEST = Domain(_steepest, ((4,),))


def _path(
    optimizer: optax.GradientTransformation, f: Callable, theta: Array, steps: int = STEPS
) -> Array:
    """theta_1 .. theta_steps, with gradients from autodiff."""

    def step(carry: PyTree, _: None) -> tuple[PyTree, PyTree]:
        theta, state = carry
        updates, state = optimizer.update(jax.grad(f)(theta), state, theta)
        theta = optax.apply_updates(theta, updates)
        return (theta, state), theta

    return jax.lax.scan(step, (theta, optimizer.init(theta)), None, length=steps)[1]


def _f(H: Array, minimum: Array, theta: Array) -> Array:
    e = theta - minimum
    return 0.5 * jnp.vdot(e, jnp.matmul(H, e, precision="highest"), precision="highest")


def _errors(make: Callable) -> Callable:
    def auto(H: Array, minimum: Array, theta: Array, lr: Array) -> Array:
        return _path(make(lr), partial(_f, H, minimum), theta) - minimum[None, :]

    return auto


def _errors_by_hand(form: Callable, **kw: float) -> Callable:
    def hand(H: Array, minimum: Array, theta: Array, lr: Array) -> Array:
        times = range(1, STEPS + 1)
        return jnp.stack([form(H, theta - minimum, learning_rate=lr, t=t, **kw) for t in times])

    return hand


def _one_mode(H: Array, start: Array, L: Array) -> Array:
    """||e_t|| / ||e_0|| after 8 steps along the eigenvector of L, for each lr."""

    def ratio(rate: float) -> Array:
        path = _path(optim.gradient_descent(rate / L), partial(_f, H, 0 * start), start, 8)
        return jnp.linalg.norm(path[-1]) / jnp.linalg.norm(start)

    return jnp.stack([ratio(rate) for rate in RATES])


def _one_mode_by_hand(H: Array, start: Array, L: Array) -> Array:
    return jnp.stack([first_order.contraction(L, learning_rate=r / L, t=8) for r in RATES])


def _after_one_step(H: Array, start: Array, L: Array) -> Array:
    """F after one step from along the steepest direction, where the bound is an equality."""
    f = partial(_f, H, 0 * start)
    return jnp.stack([f(_path(optim.gradient_descent(r / L), f, start, 1)[0]) for r in RATES])


def _lemma(H: Array, start: Array, L: Array, *, halves: float = 0.5) -> Array:
    f, g = 0.5 * jnp.dot(start, jnp.dot(H, start)), jnp.dot(H, start)
    bounds = [
        first_order.descent_bound(f, g, smoothness=2 * halves * L, learning_rate=r / L)
        for r in RATES
    ]
    return jnp.stack(bounds)


def _gaps(H: Array, minimum: Array, theta: Array, lr: Array) -> Array:
    """F(theta_t) - f* with lr = 1/L."""
    f = partial(_f, H, minimum)
    return jax.vmap(f)(_path(optim.gradient_descent(1 / CURVATURES[1]), f, theta))


def _rates(H: Array, minimum: Array, theta: Array, lr: Array, *, power: int = 1) -> Array:
    e = theta - minimum
    gap_0 = 0.5 * jnp.dot(e, jnp.dot(H, e))
    mu, L = CURVATURES
    times = range(1, STEPS + 1)
    return jnp.stack(
        [first_order.rate_bound(gap_0, mu=mu, smoothness=L, t=power * t) for t in times]
    )


def _adam_by_hand(weight_decay: float = 0.0) -> Callable:
    def hand(H: Array, minimum: Array, theta: Array, lr: Array) -> Array:
        path = adaptive.trajectory(
            lambda theta: jnp.dot(H, theta - minimum),
            theta, learning_rate=lr, steps=STEPS, weight_decay=weight_decay, **ADAM,
        )  # fmt: skip
        return path - minimum[None, :]

    return hand


def _first_steps(H: Array, minimum: Array, theta: Array, lr: Array) -> tuple[Array, Array]:
    """One step of AdamW, and of Adam on the penalized loss: not the same."""
    f, rate = partial(_f, H, minimum), 0.3

    def penalized(theta: Array) -> Array:
        return f(theta) + 0.5 * rate * jnp.sum(theta**2)

    decoupled = _path(optim.adamw(lr, weight_decay=rate, **ADAM), f, theta, 1)[0]
    return decoupled - theta, _path(optim.adam(lr, **ADAM), penalized, theta, 1)[0] - theta


def _first_steps_by_hand(
    H: Array, minimum: Array, theta: Array, lr: Array, *, coupled: bool = False
) -> tuple[Array, Array]:
    g, kw = jnp.dot(H, theta - minimum), {"learning_rate": lr, "eps": ADAM["eps"]}
    penalized = adaptive.penalized_first_step(g, theta, l2=0.3, **kw)
    decoupled = adaptive.decoupled_first_step(g, theta, weight_decay=0.3, **kw)
    return (penalized if coupled else decoupled), penalized


def _noise(rng: Generator, runs: int, steps: int) -> tuple:
    return rng.standard_normal((runs, steps, 2)), rng.uniform(0.5, 1.5, 2), rng.uniform(0.5, 1.5, 2)


def _moments(noise: Array, mean: Array, deviation: Array) -> tuple[Array, Array]:
    """Mean over the runs of Adam's moments after independent normal gradients."""
    optimizer = optim.adam(0.1, **ADAM)

    def run(z: Array) -> PyTree:
        def step(state: Any, z: Array) -> tuple[Any, None]:
            return optimizer.update(mean + deviation * z, state)[1], None

        end: Any = jax.lax.scan(step, optimizer.init(mean), z)[0]
        return end.memory

    m, v = jax.vmap(run)(noise)
    return m.mean(axis=0), v.mean(axis=0)


def _moments_by_hand(
    noise: Array, mean: Array, deviation: Array, *, biased: bool = True
) -> Expected:
    b, t = {"b1": ADAM["b1"], "b2": ADAM["b2"]}, noise.shape[1]
    # Without the bias the expectation would be that of t = infinity.
    expected = adaptive.expected_moments(mean, deviation**2, t=t if biased else 10**4, **b)
    variance = adaptive.variance_of_moments(mean, deviation**2, t=t, **b)
    return Expected(expected, tuple(jnp.sqrt(v / noise.shape[0]) for v in variance))


def _batch(rng: Generator, n: int, d: int) -> tuple:
    return vector(rng, d), rng.standard_normal((n, d)), labels(rng, n, 2).astype(float)


def _all_batches(size: int) -> Callable:
    def auto(w: Array, X: Array, y: Array) -> tuple[Array, Array]:
        """Mean and variance over every batch of this size."""

        def loss(w: Array, rows: Array) -> Array:
            z = jnp.matmul(X[rows], w, precision="highest")
            return losses.logistic(z, y[rows]).mean()

        batches = np.array(list(itertools.combinations(range(len(y)), size)))
        g = jax.vmap(jax.grad(loss), in_axes=(None, 0))(w, batches)
        return g.mean(axis=0), ((g - g.mean(axis=0)[None, :]) ** 2).mean(axis=0)

    return auto


def _all_batches_by_hand(size: int) -> Callable:
    def hand(w: Array, X: Array, y: Array) -> tuple[Array, Array]:
        g = stochastic.logistic_gradients(w, X, y)
        return stochastic.expectation(g), stochastic.variance(g, batch_size=size)

    return hand


def _case(name: str, make: Callable, form: Callable, topics: tuple, ref: str, **kw: float) -> Case:
    return Case(f"optim.{name}/trajectory", topics, "identity",
                _errors(make), _errors_by_hand(form, **kw), QUADRATIC, PATH, ref)  # fmt: skip


CASES = (
    _case("gradient_descent", optim.gradient_descent, first_order.gradient_descent_error,
          ("gradient-descent",), "Nesterov (2004), 2.1.5: e_t = (I - lr H)^t e_0"),
    Case("optim.gradient_descent/stability", ("gradient-descent",), "identity",
         _one_mode, _one_mode_by_hand, STEEPEST, ENTRIES, "Nesterov (2004), 1.2.3"),
    Case("optim.gradient_descent/descent-lemma", ("gradient-descent",), "bound",
         _after_one_step, _lemma, STEEPEST, Tolerance(1e-12, 1e-5, "equality up to rounding",
         scale=1.0), "Nesterov (2004), eq. (1.2.19)", mutants=(partial(_lemma, halves=0.49),)),
    Case("optim.gradient_descent/linear-rate", ("strong-convexity", "gradient-descent"), "bound",
         _gaps, _rates, QUADRATIC, ROUNDING, "Polyak (1963); 1 - mu/L per step",
         mutants=(partial(_rates, power=3),)),
    _case("momentum", partial(optim.momentum, decay=DECAY), first_order.momentum_error,
          ("momentum",), "Polyak (1964), section 2: the companion matrix", decay=DECAY),
    _case("momentum(nesterov)", partial(optim.momentum, decay=DECAY, nesterov=True),
          first_order.nesterov_error, ("momentum",), "Sutskever et al. (2013), eqs. (3), (4)",
          decay=DECAY),
    Case("optim.adam/trajectory", ("adam",), "identity",
         _errors(partial(optim.adam, **ADAM)), _adam_by_hand(), QUADRATIC, PATH,
         "Kingma, Ba (2015), Algorithm 1"),
    Case("optim.adam/optax", ("adam",), "identity",
         _errors(partial(optim.adam, **ADAM)), _errors(partial(optax.adam, **ADAM)), QUADRATIC,
         PATH, "optax.adam"),
    Case("optim.adam/bias-of-the-moments", ("adam",), "statistic",
         _moments, _moments_by_hand, Domain(_noise, ((2000, 6), (2000, 1))), STANDARD_ERRORS,
         "Kingma, Ba (2015), section 3", mutants=(partial(_moments_by_hand, biased=False),)),
    Case("optim.adamw/trajectory", ("adam", "strong-convexity"), "identity",
         _errors(partial(optim.adamw, weight_decay=0.3, **ADAM)), _adam_by_hand(0.3), QUADRATIC,
         PATH, "Loshchilov, Hutter (2019), Algorithm 2"),
    Case("optim.adamw/not-L2-in-Adam", ("strong-convexity", "adam"), "identity",
         _first_steps, _first_steps_by_hand, QUADRATIC, PATH,
         "Loshchilov, Hutter (2019), section 2",
         mutants=(partial(_first_steps_by_hand, coupled=True),)),
    *(Case(f"optim.sgd/batches-of-{size}", ("sgd",), "identity",
           _all_batches(size), _all_batches_by_hand(size), Domain(_batch, ((7, 3),)), ROUNDING,
           "Cochran (1977), theorems 2.1, 2.2; all batches enumerated") for size in (1, 3, 6)),
)  # fmt: skip
