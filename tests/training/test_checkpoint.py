"""Checkpoints: what goes in comes out bitwise, and damage of any kind is named."""

import io
import json
import pickle
import zipfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.training import CheckpointError, checkpoint


class Layer(NamedTuple):
    kernel: jax.Array
    bias: jax.Array


def tree():
    key = jax.random.key(0)
    return {
        "layers": (
            Layer(jax.random.normal(key, (3, 2), jnp.float32), jnp.zeros(2, jnp.bfloat16)),
            Layer(jnp.float16([1.5]), jax.random.normal(key, (4,), jnp.float64)),
        ),
        "count": jnp.int32(7),
        "empty": jnp.zeros((0, 3), jnp.float32),
        "special": jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45], jnp.float32),
        "brain": jnp.array([1e30, 3e-39, jnp.nan], jnp.bfloat16),
        "yes": jnp.array([True, False]),
        "none": None,
        "random": jax.random.split(jax.random.key(9)),
    }


def bits(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


def load(path, like):
    content = checkpoint.read(path)
    return checkpoint.restore(content, like), content.about


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, tree(), about={"step": 7})
    return path


def refused(path, *words, like=None):
    with pytest.raises(CheckpointError) as error:
        load(path, tree() if like is None else like)
    for word in (str(path), *words):
        assert word in str(error.value)


@pytest.mark.parametrize("abstract", [False, True])
def test_round_trip_is_bitwise(path, abstract):
    like = jax.eval_shape(tree) if abstract else tree()
    loaded, about = load(path, like)
    assert about["step"] == 7
    assert jax.tree.structure(loaded) == jax.tree.structure(tree())
    for new, old in zip(jax.tree.leaves(loaded), jax.tree.leaves(tree()), strict=True):
        assert (new.dtype, new.shape) == (old.dtype, old.shape)
        assert bits(new) == bits(old)


def test_nothing_is_pickled(path):
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            np.lib.format.read_array(io.BytesIO(file.read(name)), allow_pickle=False)


def test_a_pickle_is_refused_unopened(path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path.write_bytes(pickle.dumps(Trap()))
    refused(path, "truncated or not a checkpoint")
    arrays = {"about": np.frombuffer(b"{}", np.uint8), "leaf['count']": np.array([Trap()])}
    with path.open("wb") as file:
        np.savez(file, **arrays)
    refused(path, "truncated or not a checkpoint", "allow_pickle")


def test_truncated_anywhere(path):
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 3, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "truncated or not a checkpoint")


def test_one_changed_byte_is_found(path, rng):
    whole = path.read_bytes()
    like = tree()
    for place in rng.choice(len(whole), size=60, replace=False):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            loaded, about = load(path, like)
        except CheckpointError:
            continue
        # A byte of the archive that carries nothing, such as a date: the content is what it was.
        assert about["step"] == 7
        for new, old in zip(jax.tree.leaves(loaded), jax.tree.leaves(like), strict=True):
            assert bits(new) == bits(old)


def rewrite(path, change):
    """Change the arrays of a checkpoint, with a right archive around them."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def test_a_changed_number_breaks_the_checksum(path):
    def change(arrays):
        arrays["leaf['layers'][0].kernel"][0, 0] += 1

    rewrite(path, change)
    refused(path, "its content was changed", "SHA-256")


def test_a_changed_description_breaks_the_checksum(path):
    def change(arrays):
        about = json.loads(arrays["about"].tobytes())
        arrays["about"] = np.frombuffer(json.dumps({**about, "step": 8}).encode(), np.uint8)

    rewrite(path, change)
    refused(path, "its content was changed", "SHA-256")


def test_another_format(path):
    def change(arrays):
        about = json.loads(arrays["about"].tobytes())
        arrays["about"] = np.frombuffer(json.dumps({**about, "format": 9}).encode(), np.uint8)

    rewrite(path, change)
    refused(path, "expected format 1, got 9")


def test_an_archive_of_something_else(path):
    np.savez(path, x=np.ones(3))
    refused(path, "truncated or not a checkpoint", "about")


def test_no_file(tmp_path):
    refused(tmp_path / "none.npz", "there is no checkpoint")


def test_another_tree(path):
    refused(path, "leaf['more'] is missing", like={**tree(), "more": jnp.ones(1)})
    less = {key: value for key, value in tree().items() if key != "count"}
    refused(path, "leaf['count'] is not in this model", like=less)


def test_another_shape_or_dtype(path):
    words = ("leaf['count'] expected", "got int32 ()")
    refused(path, *words, "int32 (2,)", like={**tree(), "count": jnp.zeros(2, jnp.int32)})
    refused(path, *words, "float32 ()", like={**tree(), "count": jnp.float32(0)})


def test_a_failed_write_leaves_the_last_one(path, monkeypatch):
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, tree(), about={"step": 8})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_file_is_on_the_disk_before_it_takes_the_name(path, monkeypatch):
    import os
    import pathlib

    order = []
    fsync, replace = os.fsync, pathlib.Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(
        pathlib.Path, "replace", lambda a, b: (order.append("replace"), replace(a, b))[1]
    )
    checkpoint.save(path, tree(), about={"step": 8})
    assert order[:2] == ["fsync", "replace"]
    assert load(path, tree())[1]["step"] == 8
