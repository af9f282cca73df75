"""The task "digits": a residual network tells the shipped handwritten digits apart.

    loss = mean over the batch of softmax cross-entropy

Images are 8 x 8, their pixels scaled to [0, 1]. The test rows are a share of each class, drawn by a
seed of their own; nothing is chosen by them. An epoch is a random order of the training rows cut
into whole batches, each image moved by up to ``shift`` pixels, zeros moving in.
"""

from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import datasets, losses, model_selection
from jaxml._table import ConfigError, Range
from jaxml._typing import Array, Float, Int, Key, Labels, PyTree, Scalar
from jaxml.nn.residual import resnet
from jaxml.training.task import Task, n_parameters

__all__ = ["Data", "Model", "Options", "build"]

Images = Float[Array, "b 8 8 1"]


class Model(NamedTuple):
    """The [model] table: the residual network."""

    kind: Literal["basic", "bottleneck"] = "basic"  # of the blocks
    preactivation: bool = False  # norm and activation before their convolution
    widths: Annotated[tuple[int, ...], Range(1)] = (16, 32, 64)  # channels of each stage
    blocks: Annotated[tuple[int, ...], Range(1)] = (1, 1, 1)  # residual blocks of each stage


class Data(NamedTuple):
    """The [data] table."""

    test_size: Annotated[float, Range(0, 0.9, open=True)] = 0.2  # share of the rows
    split_seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    shift: Annotated[int, Range(0, 7)] = 1  # pixels, to each side


class Options(NamedTuple):
    """The tables of this task."""

    model: Model = Model()
    data: Data = Data()


class Rows(NamedTuple):
    """All images, training and test."""

    X: Images
    y: Labels
    X_test: Images
    y_test: Labels


def shifted(X: Images, *, shift: int, key: Key) -> Images:
    """Return every image moved by its own whole number of pixels in [-shift, shift] each way."""
    b, h, w, _ = X.shape
    moves = jax.random.randint(key, (b, 2), 0, 2 * shift + 1)
    padded = jnp.pad(X, ((0, 0), (shift, shift), (shift, shift), (0, 0)))

    def window(x: Float[Array, "h w 1"], move: Int[Array, "2"]) -> Float[Array, "8 8 1"]:
        return jax.lax.dynamic_slice(x, (move[0], move[1], 0), (h, w, 1))

    return jax.vmap(window)(padded, moves)


def _batch(
    key: Key, step: Int[Array, ""], rows: Rows, *, batch_size: int, shift: int
) -> tuple[Images, Labels]:
    per_epoch = rows.y.shape[0] // batch_size
    order = jax.random.permutation(jax.random.fold_in(key, step // per_epoch), rows.y.shape[0])
    picked = jax.lax.dynamic_slice(order, (step % per_epoch * batch_size,), (batch_size,))
    # A step's number begins an epoch's, too: the movements get a stream of their own.
    moves = jax.random.fold_in(jax.random.fold_in(key, step), 1)
    return shifted(rows.X[picked], shift=shift, key=moves), rows.y[picked]


def _loss(
    params: PyTree, state: PyTree, batch: Any, key: Key, *, preactivation: bool
) -> tuple[Scalar, PyTree]:
    X, y = batch
    logits, state = resnet.apply(params, state, X, training=True, preactivation=preactivation)
    return jax.vmap(losses.softmax_cross_entropy)(logits, y).mean(), state


def _evaluate(
    params: PyTree, state: PyTree, rows: Rows, *, preactivation: bool
) -> dict[str, Scalar]:
    logits, _ = resnet.apply(
        params, state, rows.X_test, training=False, preactivation=preactivation
    )
    return {
        "test_loss": jax.vmap(losses.softmax_cross_entropy)(logits, rows.y_test).mean(),
        "test_accuracy": (logits.argmax(axis=-1) == rows.y_test).mean(),
    }


def build(options: Options, *, batch_size: int) -> Task:
    """Return the task.

    Raises:
      ConfigError: The widths and blocks differ in number, or a batch exceeds the training rows.
    """
    model, data = options
    if len(model.widths) != len(model.blocks):
        raise ConfigError(
            f"model.blocks: expected {len(model.widths)} entries, as many as model.widths, "
            f"got {list(model.blocks)}"
        )
    table = datasets.digits(dtype=jnp.float32)
    X, X_test, y, y_test = model_selection.train_test_split(
        table.X.reshape(-1, 8, 8, 1) / 16, table.y,
        key=jax.random.key(data.split_seed), test_size=data.test_size, stratify=table.y,
    )  # fmt: skip
    if batch_size > len(y):
        raise ConfigError(f"train.batch_size: expected at most {len(y)}, got {batch_size}")
    init = partial(_init, n_classes=table.n_classes, model=model)
    n, m, size = len(y), len(y_test), n_parameters(init)
    return Task(
        data=Rows(X, y, X_test, y_test),
        init=init,
        batch=partial(_batch, batch_size=batch_size, shift=data.shift),
        loss=partial(_loss, preactivation=model.preactivation),
        evaluate=partial(_evaluate, preactivation=model.preactivation),
        facts={"task": "digits", "n_train": n, "n_test": m, "n_parameters": size},
        about=(
            f"digits: {n} training rows, {m} test rows, stratified, split seed {data.split_seed}",
            f"residual network of {size} parameters",
        ),
    )


def _init(key: Key, *, n_classes: int, model: Model) -> tuple[PyTree, PyTree]:
    return resnet.init(key=key, c_in=1, n_classes=n_classes, **model._asdict())
