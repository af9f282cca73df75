"""Check a user's own derivation: hand gradient against autodiff and central differences."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxml._typing import PyTree
from jaxml.verify.case import Reading, Tolerance, Verdict
from jaxml.verify.compare import distance
from jaxml.verify.evidence import cast, stencil

__all__ = ["check_gradient"]

ENTRIES = 2000  # up to here every entry is differenced; above, 8 random directions
DIRECTIONS = 8
DEFAULTS = {
    "float64": Tolerance(1e-9, 1e-9, "rounding", stencil=1e-7),
    "float32": Tolerance(1e-4, 1e-4, "rounding in float32", stencil=1e-3),
}


def check_gradient(
    loss: Callable, hand_gradient: Callable, *args: Any, tol: Tolerance | None = None
) -> Verdict:
    """Compare hand_gradient with autodiff and with central differences, leaf by leaf.

    The gradient is taken with respect to the first argument. Reverse mode, forward mode and hand
    form run in the dtype of args; differences run in float64, whether or not x64 is on.

    Args:
      loss: (*args) -> scalar, written in JAX.
      hand_gradient: (*args) -> a pytree like args[0]; may be NumPy.
      args: One point, away from kinks of the loss; args[0] holds floating arrays.
      tol: Bounds; by default 1e-9 (differences 1e-7) in float64, 1e-4 (1e-3) in float32.

    Returns:
      The verdict; ``print(verdict)`` names the leaf and entry that disagree most, with the values
      that each route gives there.

    Raises:
      TypeError: The loss is no scalar, args[0] is not floating, or the trees differ.

    Example:
      >>> def loss(w): return jnp.sum(w**2)
      >>> bool(check_gradient(loss, lambda w: 2 * w, jnp.array([1.0, 2.0])).passed)
      True
    """
    start = time.perf_counter()
    dtype = _dtype_of(args)
    tol = DEFAULTS[dtype] if tol is None else tol
    with jax.enable_x64(dtype == "float64" or jnp.result_type(float) == np.float64):
        args = (cast(args[0], dtype), *args[1:])
        shape = jax.eval_shape(loss, *args)
        if getattr(shape, "shape", None) != ():
            raise TypeError(f"loss must return a scalar: got {shape}")
        auto = jax.grad(loss)(*args)
        forward = jax.jacfwd(loss)(*args)
        hand = jax.tree.map(jnp.asarray, hand_gradient(*args))
    paths = [jax.tree_util.keystr(p) or "" for p, _ in jax.tree_util.tree_leaves_with_path(auto)]
    answers = {
        "hand": _like(auto, hand, "hand_gradient"),
        "autodiff": _numbers(auto),
        "forward": _numbers(forward),
    }
    bound = tol.float64 if dtype == "float64" else tol.float32
    readings = [
        Reading(route, path, distance(h, a, tol), bound)
        for route in ("autodiff", "forward")
        for path, h, a in zip(paths, answers["hand"], answers[route], strict=True)
    ]
    readings += _differences(loss, args, paths, answers, tol)
    note = _explain(paths, answers, readings)
    name = getattr(hand_gradient, "__name__", "hand gradient")
    return Verdict(name, dtype, tuple(readings), time.perf_counter() - start, note)


def _dtype_of(args: tuple) -> str:
    if not args:
        raise TypeError("check_gradient needs the arguments of the loss: expected at least one")
    leaves = jax.tree.leaves(args[0])
    kinds = {
        np.asarray(leaf).dtype if not isinstance(leaf, jax.Array) else leaf.dtype for leaf in leaves
    }
    if not kinds or not all(jnp.issubdtype(kind, jnp.floating) for kind in kinds):
        got = ", ".join(sorted(str(kind) for kind in kinds)) or "no arrays"
        raise TypeError(f"the first argument must hold floating arrays: got {got}")
    return "float64" if all(kind == np.float64 for kind in kinds) else "float32"


def _numbers(tree: PyTree) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def _like(want: PyTree, got: PyTree, name: str) -> list[np.ndarray]:
    a, b = _numbers(want), _numbers(got)
    if [leaf.shape for leaf in a] != [leaf.shape for leaf in b]:
        raise TypeError(
            f"{name} must return leaves of shapes {[leaf.shape for leaf in a]}, like the first "
            f"argument: got {[leaf.shape for leaf in b]}"
        )
    return b


def _differences(
    loss: Callable, args: tuple, paths: list[str], answers: dict, tol: Tolerance
) -> list[Reading]:
    size = sum(leaf.size for leaf in answers["hand"])
    with jax.enable_x64(True):
        x, *rest = cast(args, np.float64)
        if size <= ENTRIES:
            answers["differences"] = _numbers(
                jax.jit(lambda x: stencil(lambda x: loss(x, *rest), x))(x)
            )
            return [
                Reading("differences", p, distance(h, a, tol, "l2"), tol.stencil)
                for p, h, a in zip(paths, answers["hand"], answers["differences"], strict=True)
            ]
        flat, unravel = ravel_pytree(x)
        hand = np.concatenate([leaf.ravel() for leaf in answers["hand"]])
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(DIRECTIONS, size))
        along = jax.jit(
            lambda v: stencil(lambda t: loss(unravel(flat + t * v), *rest), jnp.zeros(()))
        )
        slopes = np.array([np.asarray(along(jnp.asarray(v))[0]) for v in signs])
        return [Reading("differences", "", distance(signs @ hand, slopes, tol, "l2"), tol.stencil)]


def _explain(paths: list[str], answers: dict, readings: list[Reading]) -> str:
    """Name the entry where the hand form and autodiff differ most, relative to its leaf."""
    if all(r.holds for r in readings):
        return ""
    gaps = []
    for h, a in zip(answers["hand"], answers["autodiff"], strict=True):
        size = max(np.abs(h).max(initial=0.0), np.abs(a).max(initial=0.0), np.finfo(float).tiny)
        gaps.append(np.nan_to_num(np.abs(h - a) / size, nan=np.inf))
    leaf = int(np.argmax([gap.max(initial=0.0) for gap in gaps]))
    entry = np.unravel_index(int(np.argmax(gaps[leaf])), gaps[leaf].shape)
    lines = [f"  worst at args[0]{paths[leaf]}{list(map(int, entry)) or ''}:"]
    for name, values in answers.items():
        lines.append(f"    {name:<12}{values[leaf][entry]: .10g}")
    hand, auto = answers["hand"][leaf][entry], answers["autodiff"][leaf][entry]
    if auto != 0 and np.isfinite(hand / auto):
        lines.append(f"    hand / autodiff = {hand / auto:.6g}")
    return "\n".join(lines)
