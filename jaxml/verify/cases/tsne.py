"""t-SNE: its gradient, by all pairs and by tiles, its affinities, and which divergence it is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.latent import tsne as hand
from jaxml.latent import _affinities, _forces, tsne
from jaxml.verify.case import ROUNDING, SOLVE, Case, Point, point
from jaxml.verify.domains import Domain, Generator, Numbers, design

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("tsne",)
PAPER = "van der Maaten, Hinton (2008), "


def _joint(rng: Generator, n: int) -> Numbers:
    P = rng.uniform(0.1, 1.0, (n, n)) ** 3
    P = (P + P.T) * (1 - np.eye(n))
    return P / P.sum()


def _placed(rng: Generator, n: int, c: int) -> tuple[Numbers, Numbers]:
    return rng.standard_normal((n, c)) * rng.choice([0.3, 3.0], size=(n, 1)), _joint(rng, n)


def _points(rng: Generator, n: int, c: int) -> tuple[Numbers]:
    return (_placed(rng, n, c)[0],)


def _data(rng: Generator, n: int, d: int) -> Point:
    return point(design(rng, n, d), perplexity=rng.uniform(1.5, 0.6 * n))


def _piles(rng: Generator, n: int, d: int) -> Point:
    # Two equal rows, and others: their least distance is 0.
    X = design(rng, n, d)
    X[1] = X[0]
    return point(X, perplexity=rng.uniform(2.5, 0.6 * n))


def _both(rng: Generator, n: int, d: int) -> tuple[Numbers, ...]:
    return *_placed(rng, n, 2)[:1], design(rng, n, d), rng.uniform(1.5, 0.6 * n)


def _share(rng: Generator) -> tuple[Numbers]:
    return (rng.uniform(0.9, 0.99),)


def _all_pairs(Y: Array, P: Array) -> Array:
    A, R, Z = _forces.between_all(Y, P)
    return 4 * (A - R / Z)


def _in_tiles(Y: Array) -> Any:
    by_rows, sums = _forces.push_by_rows(Y)
    return _forces.push(Y), (by_rows, jnp.sum(sums - 1))


def _along_graph(Y: Array, X: Array, perplexity: Array) -> Any:
    """The gradient from the graph of all neighbors, as a CPU adds it up and as a GPU does."""
    n = len(X)
    graph = _affinities.neighbor_graph(X, perplexity, n - 1)
    R, Z = _forces.push(Y)
    order = jnp.argsort(graph.neighbor.reshape(-1))
    target = graph.neighbor.reshape(-1)[order]
    end = jnp.searchsorted(target, jnp.arange(n), side="right")
    pulls = (
        _forces.pull_of_graph(Y, graph, _forces.slots(graph)),
        _forces.pull_of_graph(Y, graph, (order, target, end), back=_forces.by_runs),
    )
    return [4 * (A - R / Z) for A in pulls], _forces.kl_of_graph(Y, graph, Z)


def _along_graph_by_hand(Y: Array, X: Array, perplexity: Array) -> Any:
    P = hand.affinities(X, perplexity=perplexity)
    return [hand.gradient(Y, P)] * 2, hand.divergence(Y, P + jnp.eye(len(X), dtype=X.dtype))


def _perplexities(X: Array, *, perplexity: Array) -> Array:
    other = ~jnp.eye(len(X), dtype=bool)
    D = _affinities.squared_distances(X)
    return hand.perplexities(_affinities.rows_of_entropy(D, other, jnp.log(perplexity)).T)


def _crowded_and_torn(s: Array) -> tuple[Array, Array]:
    """Four points at equal distances, then two pairs 1 wide, so far apart that their share is s."""
    within = jnp.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], s.dtype)
    across = 1.0 - within - jnp.eye(4, dtype=s.dtype)
    crowded = 2.0 * jnp.eye(4, dtype=s.dtype)
    # s = 2 w / (2 w + 4 v), w = 1/2, v = 1 / (1 + 1/2 + h^2) the weight across
    h = jnp.sqrt(4 * s / (1 - s) - 1.5)
    torn = jnp.array([[0.5, 0, 0], [-0.5, 0, 0], [0, 0.5, 0], [0, -0.5, 0]], s.dtype)
    torn = (
        torn + jnp.array([0, 0, 1.0, 1.0], s.dtype)[:, None] * jnp.array([0, 0, 1.0], s.dtype) * h
    )
    P = within * s / 4 + across * (1 - s) / 8
    return tsne.loss(crowded, P), tsne.loss(torn, (within + across) / 12)


PLACED = Domain(_placed, ((6, 2), (5, 1), (4, 3)))
DATA, PILES = Domain(_data, ((12, 3), (5, 1))), Domain(_piles, ((9, 2),))

CASES = (
    Case("latent.tsne/gradient", TOPIC, "gradient",
         jax.grad(tsne.loss), hand.gradient, PLACED, ROUNDING, PAPER + "eq. (5), appendix A",
         tsne.loss),
    Case("latent.tsne/divergence", TOPIC, "identity",
         tsne.loss, hand.divergence, PLACED, ROUNDING, PAPER + "eq. (2)"),
    Case("latent.tsne/forces-between-all-pairs", TOPIC, "identity",
         _all_pairs, hand.gradient, PLACED, ROUNDING, PAPER + "eq. (5)"),
    Case("latent.tsne/repulsion-in-tiles", TOPIC, "identity",
         _in_tiles, lambda Y: (hand.repulsion(Y),) * 2, Domain(_points, ((19, 2), (8, 1))),
         ROUNDING, "van der Maaten (2014), eq. (8)"),
    Case("latent.tsne/forces-along-a-graph", TOPIC, "identity",
         _along_graph, _along_graph_by_hand, Domain(_both, ((11, 3),)), SOLVE,
         "van der Maaten (2014), eq. (8), with all neighbors"),
    Case("latent.tsne/affinities", TOPIC, "identity",
         tsne.affinities, hand.affinities, DATA, SOLVE, PAPER + "eq. (1)"),
    Case("latent.tsne/perplexity", TOPIC, "identity",
         _perplexities, lambda X, perplexity: jnp.full(len(X), perplexity), DATA,
         SOLVE._replace(float64=1e-10, float32=1e-4), PAPER + "section 2: Perp = 2^H"),
    Case("latent.tsne/crowded-and-torn", TOPIC, "identity",
         _crowded_and_torn, hand.crowded_and_torn, Domain(_share), ROUNDING,
         "two Bernoulli variables: KL(1/3, s) > KL(s, 1/3)",
         mutants=(lambda s: hand.crowded_and_torn(s)[::-1],)),
)  # fmt: skip
SPECIAL = (
    Case("latent.tsne/perplexity@equal-rows", TOPIC, "identity",
         _perplexities, lambda X, perplexity: jnp.full(len(X), perplexity), PILES,
         SOLVE._replace(float64=1e-10, float32=1e-4), PAPER + "section 2: Perp = 2^H"),
    Case("latent.tsne/gradient@coincident-points", TOPIC, "gradient",
         jax.grad(tsne.loss), hand.gradient,
         lambda key, dtype: (jnp.array([[0.0, 0], [0, 0], [1, 0], [0, 2]], dtype),
                             (jnp.ones((4, 4), dtype) - jnp.eye(4, dtype=dtype)) / 12),
         ROUNDING, PAPER + "eq. (5): y_i = y_j adds nothing", tsne.loss),
)  # fmt: skip
