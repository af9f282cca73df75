"""Argument checks at the public boundary: what is expected, and what came.

Static facts (shapes, dtypes, Python numbers) are checked always. Values are checked when they are
concrete; under a trace the same facts show in ``info.code``. Features are the one argument too
large to read twice: a fit finds NaN in them on its way, and ``raise_for`` turns the code into an
error when the arguments were concrete.
"""

import numbers
from typing import Any, TypeVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxml._loop import CURES, Code, Fit
from jaxml._typing import Array, Column, Labels, Rows, Scalar

__all__ = [
    "above", "array", "at_least", "choice", "classified", "finite", "integer", "is_concrete",
    "is_positive", "is_zero", "labels", "like", "raise_for", "rows", "scores", "signed",
    "supervised", "weights",
]  # fmt: skip

F = TypeVar("F", bound=Fit)


def is_concrete(*values: Any) -> bool:
    """Whether no leaf is traced, so that values may be read on the host."""
    return not any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(values))


def _host(value: Any) -> np.ndarray:
    return np.asarray(value)


def array(name: str, value: Any, *, ndim: int, dtype: Any = None) -> Array:
    """Return value as a floating array of ndim axes; integers become dtype or the default float.

    Raises:
      TypeError: Not numeric, complex, sparse, or a 16-bit float.
      ValueError: Wrong number of axes, an empty axis, or a number too large for the dtype.
    """
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} is sparse: expected a dense array; call .toarray() first")
    if not isinstance(value, jax.Array):
        value = np.asarray(value)
    kind = value.dtype
    if jnp.issubdtype(kind, jnp.complexfloating):
        raise TypeError(
            f"Complex data not supported: {name} has dtype {kind}; expected real numbers"
        )
    if not (jnp.issubdtype(kind, jnp.number) or kind == np.bool_):
        raise TypeError(f"{name} must be numeric: expected float32 or float64, got dtype {kind}")
    if jnp.issubdtype(kind, jnp.floating) and jnp.finfo(kind).bits < 32:
        raise TypeError(
            f"{name} has dtype {kind}: expected float32 or float64; 16-bit floats are for nn only"
        )
    if value.ndim != ndim:
        hint = "; reshape one feature to (n, 1)" if (ndim, value.ndim) == (2, 1) else ""
        raise ValueError(f"{name} must have {ndim} axes: got shape {value.shape}{hint}")
    for axis, what in enumerate(("sample(s)", "feature(s)")[:ndim]):
        if value.shape[axis] == 0:
            raise ValueError(
                f"{name} has 0 {what} (shape={value.shape}) while a minimum of 1 is required."
            )
    if dtype is None:
        dtype = kind if jnp.issubdtype(kind, jnp.floating) else jnp.result_type(float)
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    if isinstance(value, jax.Array):
        return value.astype(dtype)
    with np.errstate(over="ignore"):
        cast = value.astype(dtype)
    if cast.dtype != kind and np.any(np.isinf(cast) & np.isfinite(value)):
        raise ValueError(
            f"{name} holds numbers beyond the range of {dtype}: rescale it, or set jax_enable_x64"
        )
    return jnp.asarray(cast)


def finite(name: str, value: Array) -> Array:
    """Return value after raising for NaN and inf in it when it is concrete."""
    if is_concrete(value) and not np.isfinite(_host(value)).all():
        raise ValueError(f"{name} contains NaN or inf")
    return value


def rows(X: Any, *, d: int) -> Rows:
    """Return X (n, d) for a verb that maps rows; finite() or scores() looks for NaN in it."""
    X = array("X", X, ndim=2)
    if X.shape[1] != d:
        raise ValueError(f"X needs the {d} feature(s) of the fit: got shape {X.shape}")
    return X


def scores(X: Rows, z: Array) -> Array:
    """Return z, the scores of X, after raising for NaN and inf in a concrete X.

    A score is finite only if its row is, so reading z (n numbers) spares reading X (n d numbers).
    """
    if is_concrete(X, z) and not np.isfinite(_host(z)).all():
        finite("X", X)
    return z


def weights(s: Any, X: Rows) -> Column:
    """Return sample_weight (n,) >= 0, not all zero, in the dtype of X; None gives ones."""
    n = X.shape[0]
    if s is None:
        numpy: Any = np if is_concrete(X) else jnp
        return numpy.ones(n, X.dtype)
    s = array("sample_weight", s, ndim=1, dtype=X.dtype)
    if s.shape != (n,):
        raise ValueError(
            f"sample_weight needs one entry per row of X: expected {n}, got {s.shape[0]}"
        )
    if is_concrete(s):
        finite("sample_weight", s)
        if (_host(s) < 0).any():
            raise ValueError(f"sample_weight must be >= 0: got {_host(s).min()}")
        if not (_host(s) > 0).any():
            raise ValueError(
                "sample_weight is zero everywhere: at least one weight must be positive"
            )
    return s


def supervised(X: Any, y: Any, sample_weight: Any) -> tuple[Rows, Column, Column]:
    """Return (X, y, s) for regression, in the dtype of X."""
    X = array("X", X, ndim=2)
    y = array("y", y, ndim=1, dtype=X.dtype)
    if y.shape != X.shape[:1]:
        raise ValueError(f"y needs one entry per row of X: expected {X.shape[0]}, got {y.shape[0]}")
    finite("y", y)
    return X, y, weights(sample_weight, X)


def labels(y: Any, n: int, *, n_classes: int) -> Labels:
    """Return labels (n,) as int32; concrete ones must lie in 0..n_classes-1."""
    if not isinstance(y, jax.Array):
        y = np.asarray(y)
    if y.shape != (n,):
        raise ValueError(
            f"y needs one class label per row of X: expected shape ({n},), got {y.shape}"
        )
    if not any(jnp.issubdtype(y.dtype, kind) for kind in (jnp.integer, jnp.floating, jnp.bool_)):
        raise TypeError(f"y must hold integer class labels: got dtype {y.dtype}")
    floating = jnp.issubdtype(y.dtype, jnp.floating)
    if not is_concrete(y):
        # A traced NaN, fraction or number out of range must not become a class by truncation.
        valid = (y >= 0) & (y < n_classes) & (y == jnp.round(y) if floating else True)
        return jnp.where(valid, y, -1).astype(jnp.int32)
    host = _host(y)
    if floating and not np.isfinite(host).all():
        raise ValueError("y contains NaN or inf where class labels are expected")
    if floating and (host != np.round(host)).any():
        raise ValueError("y must hold integer class labels: got fractional values")
    least, most = host.min(), host.max()
    if least < 0 or most >= n_classes:
        raise ValueError(f"y holds a class label outside 0..{n_classes - 1}: got {least}..{most}")
    return jnp.asarray(y, jnp.int32)


def classified(
    X: Any, y: Any, sample_weight: Any, *, n_classes: int
) -> tuple[Rows, Labels, Column]:
    """Return (X, y, s) for classification; concrete labels must hold at least two classes."""
    X = array("X", X, ndim=2)
    y = labels(y, X.shape[0], n_classes=n_classes)
    s = weights(sample_weight, X)
    if is_concrete(y, s):
        present = _host(y) if sample_weight is None else _host(y)[_host(s) > 0]
        if present.min() == present.max():
            raise ValueError(f"y holds 1 class only (label {present[0]}): at least two are needed")
    return X, y, s


def signed(X: Any, y: Any, sample_weight: Any) -> tuple[Rows, Column, Column]:
    """Return (X, y, s) for a margin, y in {-1, 1} in the dtype of X, 0 where a traced label is not.

    Concrete labels must hold both classes among the rows of positive weight.
    """
    X = array("X", X, ndim=2)
    y = array("y", y, ndim=1, dtype=X.dtype)
    if y.shape != X.shape[:1]:
        raise ValueError(f"y needs one label per row of X: expected {X.shape[0]}, got {y.shape[0]}")
    s = weights(sample_weight, X)
    finite("y", y)
    if is_concrete(y):
        host = _host(y)
        if (np.abs(host) != 1).any():
            wrong = host[np.abs(host) != 1][0]
            raise ValueError(f"y must hold the labels -1 and 1: got {wrong:g}")
        if is_concrete(s):
            present = host[_host(s) > 0]
            if present.min() == present.max():
                raise ValueError(f"y holds 1 class only (label {present[0]:g}): two are needed")
    return X, jnp.where(jnp.abs(y) == 1, y, 0.0), s


def at_least(name: str, value: Any, low: float, *, dtype: Any) -> Scalar:
    """Return a real hyperparameter >= low as a traced scalar of dtype."""
    value = _real(name, value, dtype)
    if is_concrete(value) and not (float(value) >= low):
        raise ValueError(f"{name} must be >= {low}: got {float(value)}")
    return value


def above(name: str, value: Any, low: float, *, dtype: Any) -> Scalar:
    """Return a real hyperparameter > low as a traced scalar of dtype."""
    value = _real(name, value, dtype)
    if is_concrete(value) and not (float(value) > low):
        raise ValueError(f"{name} must be > {low}: got {float(value)}")
    return value


def _real(name: str, value: Any, dtype: Any) -> Scalar:
    if not (isinstance(value, numbers.Real | jax.Array | np.ndarray | np.generic)):
        raise TypeError(f"{name} must be a real number: got {type(value).__name__}")
    if isinstance(value, jax.Array):
        value = value.astype(dtype)
    else:  # NumPy's is as good an argument, and sooner made
        with np.errstate(over="ignore"):
            value = np.asarray(value).astype(dtype)
    if value.ndim != 0:
        raise ValueError(f"{name} must be a scalar: got shape {value.shape}; vmap over it instead")
    return value


def is_zero(value: Any) -> bool:
    """Whether a real hyperparameter is known to be 0 before it is traced."""
    return is_concrete(value) and np.ndim(value) == 0 and float(value) == 0.0


def is_positive(value: Any) -> bool:
    """Whether a real hyperparameter is known to be > 0 before it is traced."""
    return is_concrete(value) and np.ndim(value) == 0 and float(value) > 0.0


def integer(name: str, value: Any, low: int) -> int:
    """Return a static hyperparameter, a Python integer >= low."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is static and must be an integer: got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}: got {value}")
    return int(value)


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Return value if it is one of the options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}: got {value!r}")
    return value


def like(name: str, value: Any, template: Any, dtype: Any) -> Any:
    """Return a warm start of the type, the tree and the shapes of template."""
    if type(value) is not type(template):
        raise TypeError(f"{name} must be a {type(template).__name__}: got {type(value).__name__}")
    for field, leaf, want in zip(template._fields, value, template, strict=True):
        if jnp.shape(leaf) != jnp.shape(want):
            raise ValueError(
                f"{name}.{field} must have shape {jnp.shape(want)}: got {jnp.shape(leaf)}"
            )
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), value)


def raise_for(fit: F, *arguments: Any) -> F:
    """Return the fit, or raise ValueError if concrete arguments made it fail on its input."""
    if is_concrete(fit.info.code, *arguments) and fit.info.code.ndim == 0:
        code = Code(int(fit.info.code))
        if code is Code.NONFINITE_INPUT:
            raise ValueError("X contains NaN or inf")
        if code is Code.BAD_LABELS:
            raise ValueError(f"y does not hold two classes or more: {CURES[code]}")
    return fit
