"""What the rules prove is true: against hand facts, against sampling, and against bait."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import losses, penalties
from jaxml._sums import weighted_mean
from jaxml.analysis import rules
from jaxml.analysis.convexity import Evidence, classify, hessian_spectrum

KEY = jax.random.key(1)
REFUTED, NOT_REFUTED, PROVED = Evidence
RNG = np.random.default_rng(0)
A, B01, PM = RNG.normal(size=(9, 3)), RNG.integers(0, 2, 9), RNG.choice([-1, 1], 9)
S = RNG.uniform(0.1, 2.0, 9)

# Of one score z: strictly and strongly convex?  From l'': 1; 0; 0 or 1; sigma(z) sigma(-z) > 0 with
# infimum 0; 0; 0 or 2; e^(-yz) > 0 with infimum 0; singular along 1.
ATOMS = [
    (losses.squared, 0.7, PROVED, PROVED),
    (losses.absolute, 0.7, REFUTED, REFUTED),
    (losses.huber, 0.7, REFUTED, REFUTED),
    (losses.logistic, 1, PROVED, REFUTED),
    (losses.hinge, 1, REFUTED, REFUTED),
    (losses.squared_hinge, -1, REFUTED, REFUTED),
    (losses.exponential, -1, PROVED, REFUTED),
]


def normal(*shape):
    return lambda key: 2 * jax.random.normal(key, shape)


@pytest.mark.parametrize(("loss", "y", "strict", "strong"), ATOMS)
def test_each_loss_of_a_score_is_classified(loss, y, strict, strong):
    verdict = classify(rules.compose(loss, [[1.0]], y=[y]), normal(1), key=KEY)
    assert (verdict.convex, verdict.strictly_convex, verdict.strongly_convex) == (
        PROVED, strict, strong,
    )  # fmt: skip
    assert loss.__name__ in verdict.basis


def test_softmax_is_flat_along_the_ones():
    f = rules.compose(losses.softmax_cross_entropy, [[1.0]], y=[2])
    verdict = classify(f, normal(1, 4), key=KEY)
    assert (verdict.convex, verdict.strictly_convex, verdict.strongly_convex) == (
        PROVED, REFUTED, REFUTED,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "strict", "strong", "modulus"),
    [
        ("l1", REFUTED, REFUTED, 0.0),
        ("l2", PROVED, PROVED, 1.0),
        ("elastic_net", PROVED, PROVED, 0.7),
    ],
)
def test_each_penalty_is_classified(name, strict, strong, modulus):
    f = rules.penalty(name, l1_ratio=0.3)
    verdict = classify(f, normal(3), key=KEY)
    assert (verdict.convex, verdict.strictly_convex, verdict.strongly_convex) == (
        PROVED, strict, strong,
    )  # fmt: skip
    np.testing.assert_allclose(verdict.modulus, modulus)
    w = jnp.array([1.0, -2.0, 0.5])
    want = {"l1": penalties.l1, "l2": penalties.l2,
            "elastic_net": lambda w: penalties.elastic_net(w, l1_ratio=0.3)}  # fmt: skip
    np.testing.assert_allclose(f(w), want[name](w), rtol=1e-14)


@pytest.mark.parametrize(("l1_ratio", "strict"), [(1.0, False), (0.0, True)])
def test_elastic_net_at_its_ends(l1_ratio, strict):
    assert rules.penalty("elastic_net", l1_ratio=l1_ratio).curvature.strict is strict


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (losses.squared, B01),
        (losses.logistic, B01),
        (losses.huber, B01),
        (losses.squared_hinge, PM),
    ],
)
def test_proved_constants_enclose_the_spectrum(loss, y):
    f = rules.compose(loss, A, 0.3, y=y, sample_weight=S)
    for x in 2 * RNG.normal(size=(20, 3)):
        values = hessian_spectrum(f, jnp.asarray(x)).values
        assert f.curvature.mu <= values[0] + 1e-14
        assert values[-1] <= f.curvature.L
    if loss is losses.squared:
        want = np.linalg.eigvalsh(A.T @ (S[:, None] * A))
        np.testing.assert_allclose([f.curvature.mu, f.curvature.L], want[[0, -1]], rtol=1e-12)


def test_composition_is_the_weighted_sum_it_says():
    f = rules.compose(losses.logistic, A, 0.3, y=B01, sample_weight=S)
    x = np.array([0.2, -1.0, 0.4])
    z = A @ x + 0.3
    want = (S * (np.log1p(np.exp(z)) - B01 * z)).sum()
    np.testing.assert_allclose(f(jnp.asarray(x)), want, rtol=1e-13)


def test_l2_makes_logistic_regression_strongly_convex():
    smooth = rules.scale(1 / 9, rules.compose(losses.logistic, A, y=B01))
    f = rules.add(smooth, rules.scale(0.1, rules.penalty("l2")))
    verdict = classify(f, normal(3), key=KEY, mu=0.1)
    assert (verdict.convex, verdict.strongly_convex) == (PROVED, PROVED)
    np.testing.assert_allclose(verdict.modulus, 0.1, rtol=1e-14)
    assert verdict.curvature >= 0.1
    harder = classify(f, normal(3), key=KEY, mu=f.curvature.L * 1.01)
    assert harder.strongly_convex is REFUTED


def test_a_dependent_design_is_not_strict():
    wide = rules.compose(losses.squared, A.T, y=[0.0, 1.0, 2.0])  # 3 rows, 9 unknowns
    assert wide.curvature[:3] == (False, False, 0.0)
    twice = np.concatenate([A, A[:, :1]], axis=1)  # 9 rows, but a column repeats
    assert rules.compose(losses.squared, twice, y=B01).curvature[:3] == (None, None, 0.0)
    few = np.where(np.arange(9) < 2, 1.0, 0.0)  # weights leave 2 rows for 3 unknowns
    curvature = rules.compose(losses.squared, A, y=B01, sample_weight=few).curvature
    assert curvature.strict is False


def test_maximum_of_affine_functions_is_proved():
    f = rules.maximum(*(rules.affine(a, b) for a, b in zip(A, S, strict=True)))
    x = np.array([0.2, -1.0, 0.4])
    np.testing.assert_allclose(f(jnp.asarray(x)), (A @ x + S).max(), rtol=1e-14)
    verdict = classify(f, normal(3), key=KEY)
    assert (verdict.convex, verdict.strictly_convex) == (PROVED, NOT_REFUTED)
    assert verdict.flat is not None


def test_rules_of_sums_and_multiples():
    l1, l2 = rules.penalty("l1"), rules.penalty("l2")
    line = rules.affine(jnp.ones(3), 2.0)
    assert rules.add(line, line).curvature == (False, False, 0.0, 0.0)
    assert rules.add(line, l2).curvature == l2.curvature
    assert rules.add(l1, l1).curvature == (None, None, 0.0, math.inf)  # no rule refutes a sum
    assert rules.add(l1, l2).curvature == (True, True, 1.0, math.inf)
    assert rules.scale(3.0, l2).curvature == (True, True, 3.0, 3.0)
    assert rules.scale(0.0, l1).curvature == (False, False, 0.0, 0.0)
    assert rules.maximum(l2, rules.scale(2.0, l2)).curvature == (True, True, 1.0, math.inf)


def test_rules_refuse_what_they_cannot_prove():
    with pytest.raises(ValueError, match="c must be finite and >= 0: got -1"):
        rules.scale(-1.0, rules.penalty("l2"))
    with pytest.raises(ValueError, match="loss must be one of squared"):
        rules.compose(jnp.sin, A, y=B01)
    with pytest.raises(ValueError, match=r"hinge needs labels -1 or \+1: got \[0 1\]"):
        rules.compose(losses.hinge, A, y=B01)
    with pytest.raises(ValueError, match="sample_weight needs 9 entries >= 0"):
        rules.compose(losses.squared, A, y=B01, sample_weight=-S)
    with pytest.raises(ValueError, match="name must be one of l1, l2, elastic_net: got 'l3'"):
        rules.penalty("l3")
    with pytest.raises(ValueError, match=r"l1_ratio must be in \[0, 1\]: got 2"):
        rules.penalty("elastic_net", l1_ratio=2.0)


X3 = jnp.array([0.3, -1.2, 0.8])


@pytest.mark.parametrize(
    ("f", "values"),
    [
        (lambda x: jnp.sum(x**2), (2.0, 2.0)),
        (lambda x: 0.5 * jnp.mean((A @ x - B01) ** 2) + 0.05 * jnp.sum(x * x), None),
        (lambda x: x @ jnp.diag(jnp.array([1.0, 2.0, 3.0])) @ x / 2 - x[0] + 4.0, (1.0, 3.0)),
    ],
)
def test_quadratics_are_proved_from_their_code(f, values):
    if values is None:
        values = np.linalg.eigvalsh(A.T @ A / 9 + 0.1 * np.eye(3))[[0, -1]]
    proved = rules.quadratic(f, X3)
    assert proved.strict
    assert proved.strong
    np.testing.assert_allclose([proved.mu, proved.L], values, rtol=1e-12)


@pytest.mark.parametrize(
    "bait",
    [
        lambda x: jnp.sum(x**2) - jnp.sum(jnp.abs(x)),  # Hessian 2 I off the kinks
        lambda x: jnp.sum(x**2) - jnp.max(x),
        lambda x: jnp.sum(jnp.where(x > 0, x**2, 2 * x**2 - x)),
        lambda x: jnp.sum(x**2) - penalties.l1(x),  # a derivative rule of its own
        lambda x: jnp.sum(x**2 - jnp.floor(x)),
        lambda x: jnp.sum(x**2) - jnp.sum(x.astype(jnp.int32)),
        lambda x: jnp.sum(x**4),
        lambda x: jnp.sum(x**2) / (1 + x[0] ** 2),
        lambda x: x[0] ** 2 - x[1] ** 2 + x[2] ** 2,  # indefinite
        lambda x: (x[0] + x[1]) ** 2 + x[2] ** 2,  # semidefinite: singular to rounding
    ],
)
def test_bait_is_not_proved(bait):
    assert rules.quadratic(bait, X3) is None


def test_an_affine_function_is_proved_convex_and_not_strict():
    verdict = classify(lambda x: jnp.vdot(X3, x) + 1.0, normal(3), key=KEY)
    assert (verdict.convex, verdict.strictly_convex, verdict.strongly_convex) == (
        PROVED, REFUTED, REFUTED,
    )  # fmt: skip


def test_the_objective_of_ridge_is_proved_strongly_convex():
    def loss(params):  # the choice inside weighted_mean is made by the weights, not by params
        mean = weighted_mean(
            losses.squared(A @ params["w"] + params["b"], B01 * 1.0), jnp.asarray(S)
        )
        return mean + 0.1 * penalties.l2(params["w"])

    def sample(key):
        w = jax.random.normal(key, (4,))
        return {"w": w[:3], "b": w[3]}

    verdict = classify(loss, sample, key=KEY)
    assert (verdict.convex, verdict.strongly_convex) == (PROVED, PROVED)
    p, Z = S / S.sum(), np.c_[A, np.ones(9)]
    want = np.linalg.eigvalsh(Z.T @ (p[:, None] * Z) + np.diag([0.1, 0.1, 0.1, 0.0]))
    np.testing.assert_allclose(verdict.modulus, want[0], rtol=1e-12)
