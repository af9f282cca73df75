"""Verify the verifier: bend a hand form and require that the case notices.

Bends act on the values of the hand form, so one evaluation serves all of them. A bend that leaves
every value exactly as it was is no mutant (a sign on zeros), nor is a transpose where symmetry is
a theorem (a Hessian, or a case that says so). Everything else must be caught.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Key, PyTree
from jaxml.verify.case import DERIVATIVES, Case
from jaxml.verify.compare import judge
from jaxml.verify.compilation import quick
from jaxml.verify.evidence import Evidence, call, gather

__all__ = ["Mutation", "bends", "mutants", "mutate"]

Bend = Callable[[list[Any]], list[Any]]  # leaves -> leaves, for NumPy and for traced arrays


class Mutation(NamedTuple):
    """Whether one wrong hand form was caught, and by how much."""

    name: str
    caught: bool
    error: float  # of the reading that is farthest beyond its tolerance


def _factor(c: float) -> Bend:
    return lambda leaves: [leaf * c for leaf in leaves]


def _at(i: int, f: Callable[[Any], Any]) -> Bend:
    return lambda leaves: [f(leaf) if j == i else leaf for j, leaf in enumerate(leaves)]


def _without(entry: int) -> Callable[[Any], Any]:
    def zeroed(leaf: Any) -> Any:
        keep = np.ones(leaf.size, bool)
        keep[entry % leaf.size] = False  # other shapes have fewer entries
        return leaf * keep.reshape(leaf.shape)

    return zeroed


def _transposed(leaf: Any) -> Any:
    return leaf.T if leaf.shape[0] == leaf.shape[1] else leaf


def _middle(leaf: np.ndarray) -> int:
    """The index of the median magnitude among the entries that are not zero."""
    flat = np.abs(leaf.ravel())
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] > 0]
    return int(order[len(order) // 2]) if len(order) else 0


def bends(case: Case, hand: list[np.ndarray]) -> Iterator[tuple[str, Bend]]:
    """Yield the generic bends that apply to a hand form with these leaves."""
    if case.kind in ("bound", "statistic"):  # true on a whole side: these state their own mutants
        return
    yield "sign", _factor(-1.0)
    yield "half", _factor(0.5)
    yield "factor 1+1e-3", _factor(1 + 1e-3)
    if case.kind in DERIVATIVES:
        yield "factor 1+1e-6", _factor(1 + 1e-6)
    for i, leaf in enumerate(hand):
        if not np.issubdtype(leaf.dtype, np.floating):
            if np.issubdtype(leaf.dtype, np.integer):
                yield f"leaf {i} off by one", _at(i, lambda leaf: leaf + 1)
            continue
        if len(hand) > 1:
            yield f"leaf {i} zeroed", _at(i, lambda leaf: leaf * 0.0)
            yield f"leaf {i} factor 1+1e-3", _at(i, lambda leaf: leaf * (1 + 1e-3))
        if leaf.size > 1:
            yield f"leaf {i} one entry zeroed", _at(i, _without(_middle(leaf)))
        yield f"leaf {i} offset", _at(i, _offset(case, leaf))
        square = leaf.ndim == 2 and leaf.shape[0] == leaf.shape[1] > 1
        if square and not case.symmetric and case.kind != "hessian":
            yield f"leaf {i} transposed", _at(i, _transposed)


def _offset(case: Case, leaf: np.ndarray) -> Callable[[Any], Any]:
    # Reaches hand forms that are identically zero, where no factor can.
    finite = np.abs(leaf[np.isfinite(leaf)])
    size = max(float(finite.max(initial=0.0)), case.tol.scale) or 1.0
    return lambda leaf: leaf + 1e-3 * size


def mutants(case: Case, *, key: Key | None = None) -> tuple[Case, ...]:
    """Return the case with every wrong hand form that applies to it; each must fail.

    Args:
      case: The claim.
      key: Seeds the draw on which bends that change nothing are recognized.
    """
    key = jax.random.key(0) if key is None else key
    with jax.enable_x64(True):
        drawn = case.draw(key, jnp.float64)
        args, kwargs = (drawn.args, drawn.kwargs) if hasattr(drawn, "kwargs") else (drawn, {})
        hand = [np.asarray(leaf) for leaf in jax.tree.leaves(case.hand(*args, **kwargs))]
    generic = [
        case._replace(name=f"{case.name} ~ {name}", hand=_bent(case.hand, bend), mutants=())
        for name, bend in bends(case, hand)
        if not _same(bend(hand), hand)
    ]
    stated = [
        case._replace(name=f"{case.name} ~ {_label(f, i)}", hand=f, mutants=())
        for i, f in enumerate(case.mutants)
    ]
    return (*generic, *stated)


def mutate(case: Case, *, key: Key, evidence: list[Evidence] | None = None) -> list[Mutation]:
    """Return for every mutant whether float64 evidence, gathered once, catches it.

    An empty list means that nothing could make the case fail, which is a defect of the case.

    Args:
      case: The claim.
      key: Seeds the draws.
      evidence: What gather found in float64, to spare gathering it again.
    """
    if evidence is None:
        evidence = gather(case, dtype=jnp.float64, key=key)
    found = []
    hands = [one.hand for one in evidence]
    for name, bend in bends(case, hands[0]):
        bent = [bend(hand) for hand in hands]
        if not all(map(_same, bent, hands)):
            found.append(_try(case, name, evidence, bent))
    for i, wrong in enumerate(case.mutants):
        found.append(_try(case, _label(wrong, i), evidence, _answers(wrong, evidence)))
    return found


def _answers(wrong: Callable, evidence: list[Evidence]) -> list[list[np.ndarray]]:
    with jax.enable_x64(True):
        f = quick(lambda at: call(wrong, at))
        return [[np.asarray(leaf) for leaf in jax.tree.leaves(f(one.point))] for one in evidence]


def _try(
    case: Case, name: str, evidence: list[Evidence], hands: list[list[np.ndarray]]
) -> Mutation:
    verdict = judge(case, evidence, dtype=jnp.float64, hands=hands)
    return Mutation(name, not verdict.passed, verdict.error)


def _same(a: list[Any], b: list[Any]) -> bool:
    return all(np.array_equal(p, q, equal_nan=True) for p, q in zip(a, b, strict=True))


def _label(f: Callable, i: int) -> str:
    name = getattr(f, "__name__", "<lambda>")
    return f"mutant {i}" if name == "<lambda>" else name.strip("_")


def _bent(hand: Callable, bend: Bend) -> Callable:
    def bent(*args: Any, **kwargs: Any) -> PyTree:
        leaves, tree = jax.tree.flatten(hand(*args, **kwargs))
        return jax.tree.unflatten(tree, bend(leaves))

    return bent
