"""Run a case: gather the answers of independent routes, then judge how far they lie apart.

Gathering is the expensive half (it compiles) and knows no right or wrong; judging is NumPy.
So a mutated hand form is judged against evidence gathered once.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxml._typing import Key, PyTree
from jaxml.verify.case import DERIVATIVES, Case, Point, Reading, Tolerance, Verdict

__all__ = ["Evidence", "call", "gather", "judge", "run", "stencil"]

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


def _sides(case: Case, route: str) -> Callable[[Point], dict[str, PyTree]]:
    """The library's answer, named by the route it takes, and the hand form."""
    return lambda at: {route: call(case.auto, at), "hand": call(case.hand, at)}


def _routes(case: Case) -> Callable[[Point], dict[str, PyTree]]:
    """One function for everything at a point, so that one compilation serves all draws."""
    if case.value is None or case.kind not in DERIVATIVES:
        return _sides(case, "vmap")
    value, twice = case.value, case.kind == "hessian"

    def evaluate(at: Point) -> dict[str, PyTree]:
        out = _sides(case, "autodiff")(at)
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
    others; float32 takes the
    library's answer at the first shape, and the hand form in float64 at the same, rounded, inputs.
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


def _compiled(f: Callable) -> Callable:
    """Jit for functions that run a few times: on a CPU the optimizer would cost the most."""
    cheap = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(f, compiler_options=cheap)


def _gather_double(case: Case, shapes: list[list[Point]]) -> list[Evidence]:
    points = shapes[0]
    evaluate = _compiled(jax.vmap(_routes(case)))
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
    out = evaluate(batch)
    found = [
        _evidence(at, jax.tree.map(lambda leaf, i=i: leaf[i], out)) for i, at in enumerate(points)
    ]
    route, again = "autodiff" if "autodiff" in out else "vmap", evaluate(batch)
    found[0].pairs["repeat"] = (_leaves(again[route]), _leaves(out[route]))
    if case.kind in DERIVATIVES:
        plain = [points[0]] if len(shapes) == 1 else list(itertools.chain(*shapes[1:]))
        sides = jax.jit(_sides(case, "jit"))
        return found + [_evidence(at, sides(at)) for at in plain]
    # Here auto is what a user calls: eagerly, and it compiles itself.
    hand = _compiled(lambda at: call(case.hand, at))
    for at in (points[0], *itertools.chain(*shapes[1:])):
        found.append(_evidence(at, {"eager": call(case.auto, at), "hand": hand(at)}))
    return found


def _gather_single(case: Case, points: list[Point]) -> list[Evidence]:
    def evaluate(at: Point, exact: Point) -> dict[str, PyTree]:
        return {"float32": call(case.auto, at), "hand": call(case.hand, exact)}

    both = _compiled(evaluate)
    return [_evidence(at, both(at, cast(at, jnp.float64))) for at in points]


def distance(a: np.ndarray, b: np.ndarray, tol: Tolerance, norm: str = "") -> float:
    """Return E; inf where the shapes differ, NaN where a number is missing."""
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    if not np.issubdtype(a.dtype, np.floating):
        return 0.0 if np.array_equal(a, b) else float("inf")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))  # equal infinities agree
    size = np.maximum(np.abs(a), np.abs(b))
    if (norm or tol.norm) == "l2":
        # In units of the largest entry, so that no square over- or underflows.
        both = np.abs(np.concatenate([a.ravel(), b.ravel()]))
        top = float(both[np.isfinite(both)].max(initial=0.0))
        unit = max(top, tol.scale, np.finfo(float).tiny)
        a_norm, b_norm = (np.linalg.norm(np.where(np.isfinite(c), c, 0.0) / unit) for c in (a, b))
        total = max(float(a_norm), float(b_norm), tol.scale / unit)
        worst = float(np.linalg.norm(gap / unit))  # NaN where a number is missing on either side
        return worst / total if total > 0 else worst
    size = np.maximum(size, max(tol.scale, np.finfo(float).tiny))
    return float(np.max(np.where(gap == 0, 0.0, gap / size)))


def _excess(a: np.ndarray, b: np.ndarray, tol: Tolerance) -> float:
    """How far a lies above b, relative to the larger."""
    if a.shape != b.shape:
        return float("inf")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = np.maximum(np.maximum(np.abs(a), np.abs(b)), max(tol.scale, np.finfo(float).tiny))
    return float(np.max((a - b) / size, initial=0.0))


def _z_score(a: np.ndarray, mean: np.ndarray, se: np.ndarray) -> float:
    if not a.shape == mean.shape == se.shape or not (se > 0).all():
        return float("inf")
    return float(np.max(np.abs(np.asarray(a, np.float64) - mean) / se, initial=0.0))


def _against_hand(case: Case, one: Evidence, hand: list[np.ndarray], dtype: str) -> list[Reading]:
    tol = case.tol
    bound = tol.float64 if dtype == "float64" else tol.float32
    n = len(one.paths)
    if case.kind == "statistic":
        if len(hand) != 2 * n:  # Expected: the means, then their standard errors
            return [Reading("structure", "", float("inf"), bound)]
        scores = map(_z_score, next(iter(one.claims.values())), hand[:n], hand[n:])
        return [Reading("z-score", p, z, bound) for p, z in zip(one.paths, scores, strict=True)]
    found = []
    for route, leaves in one.claims.items():
        if len(leaves) != len(hand):
            found.append(Reading("structure", "", float("inf"), bound))
            continue
        for path, a, b in zip(one.paths, leaves, hand, strict=True):
            if case.kind == "bound":
                found.append(Reading("bound", path, _excess(a, b, tol), bound))
            elif route == "stencil":  # it sees a leaf as a whole, not its tiny entries
                found.append(Reading(route, path, distance(a, b, tol, "l2"), tol.stencil))
            else:
                found.append(Reading(route, path, distance(a, b, tol), bound))
    return found


def _among_routes(case: Case, one: Evidence, dtype: str) -> list[Reading]:
    found = []
    rounding = case.tol if case.kind not in ("bound", "statistic") else Tolerance(1e-9, 1e-3, "")
    for route, (a, b) in one.pairs.items():
        paths = one.paths if len(a) == len(one.paths) else [""] * len(a)
        bound = 0.0 if route == "repeat" else rounding.float64
        tol = rounding._replace(scale=1.0, norm="l2") if route == "adjoint" else rounding
        if route == "adjoint":
            bound = max(bound, 1e-12)
        found += [
            Reading(route, p, distance(x, y, tol), bound)
            for p, x, y in zip(paths, a, b, strict=True)
        ]
    kept = all(kind == dtype for kind in one.dtypes if kind.startswith("float"))
    found.append(Reading("dtype", "", 0.0 if kept else float("inf"), 0.0))
    return found


def judge(
    case: Case, evidence: list[Evidence], *, dtype: Any, hands: list[list[np.ndarray]] | None = None
) -> Verdict:
    """Return the verdict on evidence; hands replaces the answers of the hand form, draw by draw."""
    dtype = jnp.dtype(dtype).name
    worst: dict[tuple[str, str], Reading] = {}
    for i, one in enumerate(evidence):
        hand = one.hand if hands is None else hands[i]
        for reading in _against_hand(case, one, hand, dtype) + _among_routes(case, one, dtype):
            at = (reading.route, reading.leaf)
            if at not in worst or reading.severity > worst[at].severity:
                worst[at] = reading
    return Verdict(case.name, dtype, tuple(worst.values()))


def run(case: Case, *, dtype: Any = "float64", key: Key, draws: int = DRAWS) -> Verdict:
    """Return the verdict on a case: every route, several draws and shapes.

    Works whether or not x64 is on, and leaves that setting as it is.

    Args:
      case: The claim.
      dtype: float64 (all routes) or float32 (against the hand form in float64).
      key: Seeds the draws; the same key gives the same verdict.
      draws: Points drawn at the first shape.
    """
    start = time.perf_counter()
    verdict = judge(case, gather(case, dtype=dtype, key=key, draws=draws), dtype=dtype)
    return verdict._replace(seconds=time.perf_counter() - start)
