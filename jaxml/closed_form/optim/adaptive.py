"""Adam and AdamW by hand: the moments as sums instead of recursions, first steps, expectations.

Reference: Kingma, Ba (2015), Adam, Algorithm 1 and section 3; Loshchilov, Hutter (2019), Decoupled
weight decay regularization, section 2.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxml._typing import Array, Float, Real

Vector = Float[Array, " d"]


def trajectory(
    gradient: Callable[[Vector], Vector],
    theta: Vector,
    *,
    learning_rate: Real,
    b1: Real,
    b2: Real,
    eps: Real,
    weight_decay: Real = 0.0,
    steps: int,
) -> Float[Array, "t d"]:
    """Return theta_1 .. theta_steps of AdamW; of Adam with weight_decay = 0."""
    # m_t = b1 m_{t-1} + (1 - b1) g_t, m_0 = 0, unrolls to  m_t = (1 - b1) sum_{i<=t} b1^(t-i) g_i.
    # The weights sum to (1 - b1) (1 - b1^t)/(1 - b1) = 1 - b1^t, so the corrected moment
    # m_t/(1 - b1^t) = sum_i b1^(t-i) g_i / sum_i b1^(t-i)  is a weighted mean; v_t that of g_i^2.
    path, seen = [], []
    for _ in range(steps):
        seen.append(gradient(theta))
        age = range(len(seen) - 1, -1, -1)
        m = sum(b1**k * g for k, g in zip(age, seen, strict=True)) / sum(b1**k for k in age)
        v = sum(b2**k * g * g for k, g in zip(age, seen, strict=True)) / sum(b2**k for k in age)
        # theta <- theta - lr (m/(sqrt(v) + eps) + weight_decay theta)
        theta = (1 - learning_rate * weight_decay) * theta - learning_rate * m / (jnp.sqrt(v) + eps)
        path.append(theta)
    return jnp.stack(path)


def first_step(gradient: Vector, *, learning_rate: Real, eps: Real) -> Vector:
    """Return theta_1 - theta_0 of Adam."""
    # t = 1: both means are of one number, m = g and v = g^2  =>  -lr g/(|g| + eps), for any b1, b2
    return -learning_rate * gradient / (jnp.abs(gradient) + eps)


def decoupled_first_step(
    gradient: Vector, theta: Vector, *, learning_rate: Real, eps: Real, weight_decay: Real
) -> Vector:
    """Return the first step of AdamW: the decay stays outside of the moments."""
    # => -lr g/(|g| + eps) - lr weight_decay theta: the shrinkage is the same in every entry
    return first_step(gradient, learning_rate=learning_rate, eps=eps) - (
        learning_rate * weight_decay * theta
    )


def penalized_first_step(
    gradient: Vector, theta: Vector, *, learning_rate: Real, eps: Real, l2: Real
) -> Vector:
    """Return the first step of Adam on f + l2/2 ||theta||^2."""
    # The gradient is g + l2 theta, and it is divided by its own size:
    # => -lr (g + l2 theta)/(|g + l2 theta| + eps), of length about lr whatever l2 is.
    return first_step(gradient + l2 * theta, learning_rate=learning_rate, eps=eps)


def expected_moments(
    mean: Vector, variance: Vector, *, b1: Real, b2: Real, t: int
) -> tuple[Vector, Vector]:
    """Return E[m_t], E[v_t] for independent gradients of this mean and variance."""
    # E is linear in the sums above:  E[m_t] = (1 - b1^t) E[g],  E[v_t] = (1 - b2^t) E[g^2]
    # (section 3 of the paper), with E[g^2] = mean^2 + variance.
    return (1 - b1**t) * mean, (1 - b2**t) * (mean**2 + variance)


def variance_of_moments(
    mean: Vector, variance: Vector, *, b1: Real, b2: Real, t: int
) -> tuple[Vector, Vector]:
    """Return Var[m_t], Var[v_t] for independent normal gradients."""
    # Var[m_t] = (1 - b1)^2 sum_{k<t} b1^(2k) Var[g] = (1 - b1)^2 (1 - b1^(2t))/(1 - b1^2) Var[g];
    # v_t likewise, with Var[g^2] = 2 variance^2 + 4 mean^2 variance for a normal g.
    first = (1 - b1) * (1 - b1 ** (2 * t)) / (1 + b1)
    second = (1 - b2) * (1 - b2 ** (2 * t)) / (1 + b2)
    return first * variance, second * (2 * variance**2 + 4 * mean**2 * variance)
