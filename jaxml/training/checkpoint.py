"""Checkpoints that survive an interruption: whole or not there, checked, and never unpickled.

A checkpoint is one .npz file: a plain array per leaf of the tree, under the leaf's path in it, and
``about``, a JSON text with the step, the configuration, dtypes and a SHA-256 of all the rest. It is
written beside its place, forced to the disk and then renamed, so that at every moment the name
holds the last whole checkpoint or the one before.
"""

import contextlib
import hashlib
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import PyTree

__all__ = ["CheckpointError", "Content", "read", "restore", "save", "write_whole"]

FORMAT = 1
BROKEN = (
    OSError, EOFError, ValueError, KeyError, MemoryError, NotImplementedError, SyntaxError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip  # what NumPy and zipfile raise for bytes that they did not write


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or not of this run; the text says which and where."""


def _named(tree: PyTree) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"leaf" + jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _bits(leaf: Any) -> Any:
    """Return the integers of a random key, and any other leaf as it is."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _digest(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> str:
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return total.hexdigest()


def write_whole(path: Path, write: Any) -> None:
    """Call write(file) on a file beside path, force it to the disk and rename it to path."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too, outlives a loss of power
        finally:
            os.close(folder)


def save(path: str | Path, tree: PyTree, *, about: dict[str, Any]) -> None:
    """Write the arrays of a tree, and about, which JSON must be able to write.

    Raises:
      OSError: The disk is full or the folder is not there; what stood at path is still there.
    """
    leaves = _named(tree)
    dtypes = {name: str(leaf.dtype) for name, leaf in leaves.items()}
    host = {name: np.asarray(_bits(leaf)) for name, leaf in leaves.items()}
    # bfloat16 is no NumPy type: its bits travel as integers, as keys' do, its name in the text.
    arrays = {
        name: array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array
        for name, array in host.items()
    }
    text: dict[str, Any] = {**about, "format": FORMAT, "dtypes": dtypes}
    text["sha256"] = _digest(arrays, text)
    entries = {**arrays, "about": np.frombuffer(json.dumps(text).encode(), np.uint8)}
    write_whole(Path(path), lambda file: np.savez(file, **entries))  # pyright: ignore


class Content(NamedTuple):
    """What a checkpoint holds, whole and unchanged, but not yet held against a model."""

    path: Path
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]


def read(path: str | Path) -> Content:
    """Return the content of a checkpoint.

    Raises:
      CheckpointError: No file, or a damaged one.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: there is no checkpoint")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes().decode())
        digest = about.pop("sha256")
    except BROKEN as error:
        raise CheckpointError(
            f"{path}: truncated or not a checkpoint ({type(error).__name__}: {error})"
        ) from error
    if about.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT}, got {about.get('format')!r}")
    if digest != (found := _digest(arrays, about)):
        raise CheckpointError(
            f"{path}: its content was changed: expected SHA-256 {digest}, got {found}"
        )
    return Content(path, arrays, about)


def restore(content: Content, like: PyTree) -> PyTree:
    """Return the tree of a checkpoint.

    Args:
      content: As read.
      like: A tree of arrays or jax.ShapeDtypeStruct: what the checkpoint must hold.

    Raises:
      CheckpointError: Another tree, shape or dtype; the text names the leaf.
    """
    path, arrays, about = content
    wanted = _named(like)
    for name in [*wanted, *arrays]:
        if name not in arrays or name not in wanted:
            state = "missing" if name in wanted else "not in this model"
            raise CheckpointError(f"{path}: {name} is {state}: another model or optimizer wrote it")
    leaves = []
    for name, want in wanted.items():
        array, dtype, bits = arrays[name], about["dtypes"][name], jax.eval_shape(_bits, want)
        if (dtype, array.shape) != (str(want.dtype), bits.shape):
            raise CheckpointError(
                f"{path}: {name} expected {want.dtype} {bits.shape}, got {dtype} {array.shape}"
            )
        leaf = jnp.asarray(array.view(bits.dtype))
        leaves.append(jax.random.wrap_key_data(leaf) if _is_key(want) else leaf)
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
