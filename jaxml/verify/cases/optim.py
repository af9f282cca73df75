"""Optimizers: paths on quadratics, and their rates."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxml import optim
from jaxml._typing import Array, PyTree
from jaxml.closed_form.optim import adaptive, first_order
from jaxml.verify.case import ROUNDING, Case, Tolerance
from jaxml.verify.domains import Domain, Generator, vector

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
    Case("optim.adamw/trajectory", ("adam", "strong-convexity"), "identity",
         _errors(partial(optim.adamw, weight_decay=0.3, **ADAM)), _adam_by_hand(0.3), QUADRATIC,
         PATH, "Loshchilov, Hutter (2019), Algorithm 2"),
    Case("optim.adamw/not-L2-in-Adam", ("strong-convexity", "adam"), "identity",
         _first_steps, _first_steps_by_hand, QUADRATIC, PATH,
         "Loshchilov, Hutter (2019), section 2",
         mutants=(partial(_first_steps_by_hand, coupled=True),)),
)  # fmt: skip
