"""Softmax regression on a few random rows: the smallest task that has every part of one."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxml import losses, training

N, D, K = 30, 4, 3
SETTINGS = training.Settings(
    steps=13, batch_size=6, seed=3, log_every=4, evaluate_every=5, checkpoint_every=5
)
ADAM = training.Optimizer(optax.adam(0.05), lambda step: 0.05)


def rows(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, D)).astype(dtype)
    return X, (X @ rng.normal(size=(D, K))).argmax(axis=1).astype(np.int32)


def _init(key):
    # The state counts the batches, so that a step that is skipped must leave it as it was.
    return {"w": 0.1 * jax.random.normal(key, (D, K), jnp.float32)}, jnp.int32(0)


def _batch(key, step, data, *, size):
    X, y = data
    picked = jax.random.randint(jax.random.fold_in(key, step), (size,), 0, N)
    return X[picked], y[picked]


def _loss(params, state, batch, key, *, spoil):
    X, y = batch
    noise = 0.01 * jax.random.normal(key, X.shape, X.dtype)  # as dropout would
    z = (X + noise) @ params["w"]
    loss = jax.vmap(losses.softmax_cross_entropy)(z, y).mean()
    bad = (state >= spoil[0]) & (state < spoil[1])
    return jnp.where(bad, jnp.nan, 1.0) * loss, state + 1


def _evaluate(params, state, data):
    X, y = data
    z = X @ params["w"]
    return {
        "test_loss": jax.vmap(losses.softmax_cross_entropy)(z, y).mean(),
        "test_accuracy": (z.argmax(axis=1) == y).mean(),
    }


def _write(params, state, key):
    return "".join("abc"[int(i)] for i in jax.random.randint(key, (5,), 0, 3)) + "\n"


def task(*, spoil=(10**6, 10**6), batch_size=SETTINGS.batch_size, data=None, sample=False):
    """Return the task; from batch spoil[0] to spoil[1] its loss is NaN."""
    return training.Task(
        data=tuple(map(jnp.asarray, rows() if data is None else data)),
        init=_init,
        batch=partial(_batch, size=batch_size),
        loss=partial(_loss, spoil=spoil),
        evaluate=_evaluate,
        facts={"task": "tiny", "n_train": N},
        sample=_write if sample else None,
    )


def train(folder, *, settings=SETTINGS, optimizer=ADAM, **options):
    """Train the task in folder; what is not an option of training.train goes to the task."""
    names = {"config", "resume", "overwrite", "watch"}
    own = {name: options.pop(name) for name in tuple(options) if name not in names}
    return training.train(
        task(**own), optimizer=optimizer, settings=settings, folder=folder, **options
    )


def records(folder):
    """Return the log without the seconds, which differ from run to run."""
    found = training.metrics.read(Path(folder) / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k != "seconds"} for record in found]
