"""A layer's call, forward or with its gradients, beside PyTorch and flax: what all layers share.

A layer is f(*leaves) -> (y, aux): leaves are what is differentiated, its parameters and inputs as
pytrees; aux is what else must be computed (running statistics, a state), returned and not judged.

    forward      leaves        -> y, aux
    gradient     leaves, u     -> y, (dL/dleaf, ...), aux      for L = <u, y> and a random u

Both sides get the same float numbers, each in its own layout. The gap is the relative error of each
leaf of y and of the gradients against ``reference``, the closed form where there is one, in
float64: the largest over the leaves. Leaves that are zero by theory, as the gradient of a bias
before a norm, are judged on the scale of the others.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import Given, PeerMissingError
from benchmarks.problem import Contestant, Problem

__all__ = [
    "back", "by_autodiff", "error", "flax", "flax_call", "jax_call", "normal", "problem", "tensor",
    "torch", "torch_call",
]  # fmt: skip

SMALL = 1e-3  # of the largest leaf: entries below this share of its size count as this large

Layer = Callable[..., tuple[Any, Any]]


def normal(rng: np.random.Generator, dtype: str, *shape: int, scale: float = 1.0) -> Any:
    """Normal numbers, rounded to dtype."""
    return (scale * rng.standard_normal(shape)).astype(_numpy(dtype))


def _numpy(dtype: str) -> Any:
    import jax.numpy as jnp

    return jnp.dtype(dtype)  # NumPy has no bfloat16 of its own


def jax_call(f: Layer, *, gradient: bool) -> Callable[..., Any]:
    """Return f, or f and its gradients, as one jitted call: (*leaves) or (*leaves, u)."""
    import jax

    def both(*arrays: Any) -> Any:
        *leaves, u = arrays
        y, pull, aux = jax.vjp(f, *leaves, has_aux=True)
        return y, pull(u), aux

    return jax.jit(both if gradient else f)


def by_autodiff(f: Layer, *, gradient: bool) -> Callable[..., Any]:
    """Return a reference from another plain form of the layer, where there is no closed form."""
    call = jax_call(f, gradient=gradient)
    return lambda *arrays: call(*arrays)[:-1]


def problem(
    rng: np.random.Generator,
    f: Layer,
    leaves: tuple,
    *,
    gradient: bool,
    flops: float,
    reference: Callable[..., Any],
    given: Given,
) -> Problem:
    """State a layer's call at its sizes.

    Args:
      rng: Draws u.
      f: The layer of jaxml.
      leaves: Its arguments, pytrees of NumPy arrays.
      gradient: Whether the gradients are part of the call.
      flops: Of the products of a forward call; a gradient needs three times as many.
      reference: (*leaves) -> y, or (*leaves, u) -> (y, gradients); evaluated in float64.
      given: What the peers get besides ``leaves``, ``u`` and ``gradient``.
    """
    import jax

    shape = jax.eval_shape(f, *leaves)[0]
    u = jax.tree.map(lambda s: normal(rng, s.dtype.name, *s.shape), shape)
    arrays = (*leaves, u) if gradient else leaves
    call = jax_call(f, gradient=gradient)
    out = jax.eval_shape(call, *arrays)
    n_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((arrays, out)))

    def fit(*arrays: Any, tol: float | None) -> Any:
        del tol  # a layer has none
        return call(*arrays)

    return Problem(
        arrays=arrays,
        fit=fit,
        given={**given, "leaves": leaves, "u": u, "gradient": gradient},
        gap=_judge(reference, arrays),
        work=lambda _: (n_bytes, flops * (3 if gradient else 1)),
        read=lambda out: (out[:-1],),
    )


def _judge(reference: Callable[..., Any], arrays: tuple) -> Callable[[Any], float]:
    """Return out -> the largest relative error of its leaves; the exact ones come on first use."""
    import jax

    exact: list[np.ndarray] = []

    def gap(out: Any) -> float:
        if not exact:
            with jax.enable_x64(True):
                doubles = jax.tree.map(lambda a: jax.numpy.asarray(a, "float64"), arrays)
                want = jax.jit(reference)(*doubles)
                exact.extend(np.asarray(leaf) for leaf in jax.tree.leaves(want))
        return error(jax.tree.leaves(out), exact)

    return gap


def error(got: list[Any], want: list[np.ndarray]) -> float:
    """Return the largest ||a - r|| / ||r|| over pairs of leaves; inf for NaN.

    Raises:
      ValueError: The leaves do not pair, in number or in shape.
    """
    got = [np.asarray(leaf, np.float64) for leaf in got]
    shapes = [[leaf.shape for leaf in side] for side in (got, want)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"outputs must have the shapes {shapes[1]}: got {shapes[0]}")
    sizes = [np.sqrt(np.mean(r**2)) for r in want]
    floor = max(SMALL * max(sizes), np.finfo(np.float64).tiny)
    worst = max(
        np.sqrt(np.mean((a - r) ** 2)) / max(size, floor)
        for a, r, size in zip(got, want, sizes, strict=True)
    )
    return float(worst) if np.isfinite(worst) else float("inf")


def torch() -> Any:
    """Import PyTorch with one thread per core, and on a GPU with the products that JAX takes."""
    from benchmarks.limits import cores  # which needs the configuration, and that this module

    try:
        library = importlib.import_module("torch")
    except ImportError as error:
        raise PeerMissingError("PyTorch is not installed: pip install '.[bench]'") from error
    library.set_num_threads(cores())
    if _device() == "cuda":
        if not library.cuda.is_available():
            raise PeerMissingError("this PyTorch has no CUDA: install a build that has")
        library.set_float32_matmul_precision("high")  # TF32, as JAX by default
    return library


def _device() -> str:
    import jax

    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def tensor(array: Any) -> Any:
    """Return a PyTorch tensor of that dtype on the device that JAX uses."""
    library = torch()
    dtype = getattr(library, np.asarray(array).dtype.name)
    wide = np.float32 if dtype in (library.bfloat16, library.float16) else np.asarray(array).dtype
    # A copy: what JAX hands out is read-only.
    return library.tensor(np.array(array, wide)).to(device=_device(), dtype=dtype)


def back(value: Any) -> np.ndarray:
    """Return a PyTorch tensor as a NumPy array, 16-bit floats as float32."""
    value = value.detach().cpu()
    return (value.float() if value.element_size() == 2 else value).numpy()


def torch_call(
    f: Layer,
    leaves: tuple,
    u: Any,
    read: Callable[[Any, tuple], Any],
    *,
    gradient: bool,
    compiled: bool = False,
) -> Contestant:
    """Return PyTorch's call and its reader.

    Args:
      f: (*leaves) -> (y, aux), in PyTorch.
      leaves: Tensors, one for each array that is differentiated.
      u: The cotangent of y, in PyTorch's layout.
      read: (y, gradients) -> the outputs in jaxml's layout, as NumPy arrays: y, or y and the
        gradients as jaxml returns them. The gradients are () in a forward call.
      gradient: Whether the gradients are part of the call.
      compiled: Whether f goes through torch.compile.
    """
    library = torch()
    f = library.compile(f) if compiled else f
    leaves = tuple(leaf.requires_grad_(gradient) for leaf in leaves)
    on_cuda = _device() == "cuda"

    def run() -> Any:
        if gradient:
            y, aux = f(*leaves)
            out = y, library.autograd.grad(y, leaves, u), aux
        else:
            with library.no_grad():
                y, aux = f(*leaves)
            out = y, (), aux
        if on_cuda:
            library.cuda.synchronize()
        return out

    return run, lambda out: (read(out[0], out[1]),)


def flax() -> Any:
    """Import flax.linen."""
    try:
        return importlib.import_module("flax.linen")
    except ImportError as error:
        raise PeerMissingError("flax is not installed: pip install '.[bench]'") from error


def flax_call(f: Layer, leaves: tuple, u: Any, read: Callable, *, gradient: bool) -> Contestant:
    """Return flax's call, jitted, and its reader; f takes the variables as flax has them."""
    import jax

    call = jax_call(f, gradient=gradient)
    arrays = jax.device_put((*leaves, u) if gradient else leaves)
    return lambda: call(*arrays), lambda out: (read(out[0], out[1] if gradient else ()),)
