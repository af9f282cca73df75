"""What the tests of every family ask of a fit: its code, and its leaves beside those of another."""

from typing import Any

import jax
import numpy as np

from jaxml import Code

__all__ = ["agree", "code", "host"]


def code(fit: Any) -> Code:
    """The code of a fit as a Code."""
    return Code(int(fit.info.code))


def host(tree: Any) -> list[np.ndarray]:
    """The leaves of a tree as NumPy arrays."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def agree(got: Any, want: Any, rtol: float, scale: float = 1.0) -> None:
    """Leaf by leaf, relative to the largest entry of the leaf and at least to scale."""
    for a, b in zip(host(got), host(want), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        size = max(np.abs(b).max(initial=0.0), scale)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * size)
