"""Gather the answers of independent routes to a case, as evidence that compare.py judges.

This is the expensive half (it compiles) and knows no right or wrong; so a mutated hand form is
judged against evidence gathered once.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxml._typing import Key, PyTree
from jaxml.verify.case import DERIVATIVES, Case, Point
from jaxml.verify.compilation import quick

__all__ = ["DRAWS", "Evidence", "call", "cast", "gather", "stencil"]

ROUTES = ("autodiff", "vmap", "eager", "jit", "float32", "forward", "stencil")
DRAWS = 3  # at the first shape; the other shapes are drawn once
STEP = 1e-3  # relative; a 4th-order difference then errs by about 1e-12


class Evidence(NamedTuple):
    """Answers at one draw, each a list of NumPy leaves."""

    point: Point
    paths: list[str]  # names of the leaves of auto
    hand: list[np.ndarray]
    claims: dict[str, list[np.ndarray]]  # what hand must agree with, by route
    pairs: dict[str, tuple[list[np.ndarray], list[np.ndarray]]]  # what must agree with each other
    dtypes: list[str]  # of the leaves of auto


def call(f: Callable, at: Point) -> PyTree:
    """Return f at the point."""
    return f(*at.args, **at.kwargs)


def _as_point(drawn: Any) -> Point:
    return drawn if isinstance(drawn, Point) else Point(tuple(drawn), {})


def _is_real(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def cast(tree: PyTree, dtype: Any) -> PyTree:
    """Return the tree as JAX arrays, its floating leaves in dtype."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype) if _is_real(leaf) else jnp.asarray(leaf), tree
    )


def _leaves(tree: PyTree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def stencil(f: Callable, x: PyTree) -> list[jax.Array]:
    """Return the Jacobian of f at x by 4th-order central differences.

    Returns:
      The leaves in the order of jax.jacfwd(f)(x): output leaves outside, input leaves inside.
    """
    # f'(x) = [8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))] / 12h + O(h^4)
    flat, unravel = ravel_pytree(x)
    h = STEP * jnp.maximum(1.0, jnp.abs(flat))

    def along(e: jax.Array) -> PyTree:
        # One vmap over the four points, so that f is compiled once.
        ends = flat[None, :] + jnp.array([1.0, -1.0, 2.0, -2.0])[:, None] * (h * e)[None, :]
        weights = jnp.array([8.0, -8.0, -1.0, 1.0]) / (12.0 * jnp.sum(h * e))
        values = jax.vmap(lambda x: f(unravel(x)))(ends)
        return jax.tree.map(
            lambda leaf: jnp.tensordot(weights, leaf, 1, precision="highest"), values
        )

    columns = jax.vmap(along)(jnp.eye(flat.size, dtype=flat.dtype))
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(x)]
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [
        part.reshape(*column.shape[1:], *shape)
        for column in jax.tree.leaves(columns)
        for part, shape in zip(
            jnp.split(jnp.moveaxis(column, 0, -1), cuts, axis=-1), shapes, strict=True
        )
    ]


def _adjoint(f: Callable, x: PyTree) -> tuple[jax.Array, jax.Array]:
    """<u, Jv> by forward mode and <J'u, v> by reverse mode, both over ||u|| ||Jv||."""

    def wave(tree: PyTree) -> PyTree:  # a fixed vector without symmetry
        flat, unravel = ravel_pytree(tree)
        return unravel(jnp.cos(1.0 + 1.7 * jnp.arange(flat.size, dtype=flat.dtype)))

    def dot(a: PyTree, b: PyTree) -> jax.Array:
        return jnp.vdot(ravel_pytree(a)[0], ravel_pytree(b)[0])

    v = wave(x)
    y, push = jax.linearize(f, x)
    Jv, u = push(v), wave(y)
    (Jtu,) = jax.linear_transpose(push, x)(u)
    size = jnp.sqrt(dot(u, u) * dot(Jv, Jv))
    size = jnp.where(size > 0, size, 1.0)
    return dot(u, Jv) / size, dot(Jtu, v) / size


def _routes(case: Case) -> Callable[[Point], dict[str, PyTree]]:
    """One function for every route of the library at a point."""
    if case.value is None or case.kind not in DERIVATIVES:
        return lambda at: {"vmap": call(case.auto, at)}
    value, twice = case.value, case.kind == "hessian"

    def evaluate(at: Point) -> dict[str, PyTree]:
        out = {"autodiff": call(case.auto, at)}
        (x, *rest), kwargs = at

        def f(x: PyTree) -> PyTree:
            return value(x, *rest, **kwargs)

        g = jax.grad(f) if twice else f
        out["forward"] = jax.jacfwd(jax.jacfwd(f) if twice else f)(x)
        out["stencil"] = stencil(g, x)
        out["adjoint"] = _adjoint(g, x)
        return out

    return evaluate


def _draws(case: Case, key: Key, dtype: Any, count: int) -> list[list[Point]]:
    """Points by shape: count of the first, one of each other."""
    each = getattr(case.draw, "each", lambda: (case.draw,))()
    return [
        [
            cast(_as_point(draw(jax.random.fold_in(key, 100 * i + j), dtype)), dtype)
            for j in range(count if i == 0 else 1)
        ]
        for i, draw in enumerate(each)
    ]


def gather(case: Case, *, dtype: Any, key: Key, draws: int = DRAWS) -> list[Evidence]:
    """Return the answers of all routes at every draw.

    float64 takes every route at the first shape, vmapped over the draws, and plain calls at the
    others; float32 takes the library's answer at the first shape, and the hand form in float64 at
    the same, rounded, inputs.
    """
    with jax.enable_x64(True):
        double = jnp.dtype(dtype) == jnp.float64
        shapes = _draws(case, key, dtype, draws)
        return _gather_double(case, shapes) if double else _gather_single(case, shapes[0])


def _evidence(at: Point, out: dict[str, PyTree]) -> Evidence:
    route = next(name for name in ROUTES if name in out)
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(out[route])]
    claims = {name: _leaves(out[name]) for name in ROUTES if name in out}
    pairs = {}
    if "adjoint" in out:
        one, other = out["adjoint"]
        pairs["adjoint"] = ([np.asarray(one)], [np.asarray(other)])
    dtypes = [leaf.dtype.name for leaf in claims[route]]
    return Evidence(at, paths, _leaves(out["hand"]), claims, pairs, dtypes)


def _gather_double(case: Case, shapes: list[list[Point]]) -> list[Evidence]:
    points = shapes[0]

    # One compilation serves all draws. Hand forms may factor matrices, and take turns: see _lapack.
    def everything(batch: Point) -> dict[str, PyTree]:
        hand = jax.lax.map(lambda at: call(case.hand, at), batch)
        return {**jax.vmap(_routes(case))(batch), "hand": hand}

    evaluate = quick(everything)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
    out = jax.block_until_ready(evaluate(batch))
    found = [
        _evidence(at, jax.tree.map(lambda leaf, i=i: leaf[i], out)) for i, at in enumerate(points)
    ]
    route, again = "autodiff" if "autodiff" in out else "vmap", evaluate(batch)
    found[0].pairs["repeat"] = (_leaves(again[route]), _leaves(out[route]))
    if case.kind in DERIVATIVES:
        plain = [points[0]] if len(shapes) == 1 else list(itertools.chain(*shapes[1:]))
        sides = jax.jit(lambda at: {"jit": call(case.auto, at), "hand": call(case.hand, at)})
        return found + [_evidence(at, sides(at)) for at in plain]
    # Here auto is what a user calls: eagerly, and it compiles itself.
    hand = quick(lambda at: call(case.hand, at))
    for at in (points[0], *itertools.chain(*shapes[1:])):
        found.append(_evidence(at, {"eager": call(case.auto, at), "hand": hand(at)}))
    return found


def _gather_single(case: Case, points: list[Point]) -> list[Evidence]:
    def evaluate(at: Point, exact: Point) -> dict[str, PyTree]:
        return {"float32": call(case.auto, at), "hand": call(case.hand, exact)}

    both = quick(evaluate)
    return [_evidence(at, both(at, cast(at, jnp.float64))) for at in points]
