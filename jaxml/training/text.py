"""The task "text": a decoder learns The Devil's Dictionary, character by character.

    loss = mean over positions of -log p(c_i | c_1 .. c_{i-1}),    in nats per character

The last part of the text is held out. What a model must beat is known without one: the entropy of
single characters, H(c) = -sum_a p_a log p_a, is the least loss of a model without context, and
H(c_i | c_{i-1}) = -sum_ab p_ab log (p_ab / p_a) of one that sees the character before. Both are
taken over the whole text, held-out part included: no unigram or bigram model does better on it.
"""

from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets
from jaxml._table import ConfigError, Range
from jaxml._typing import Array, Int, Key, PyTree, Scalar
from jaxml.nn.transformer import decoder
from jaxml.training.task import Task, n_parameters

__all__ = ["Data", "Model", "Options", "Sample", "build", "entropies"]

Tokens = Int[Array, "b t"]


class Model(NamedTuple):
    """The [model] table: the decoder."""

    d_model: Annotated[int, Range(1)] = 128
    n_heads: Annotated[int, Range(1)] = 4
    n_layers: Annotated[int, Range(1)] = 4
    d_hidden: Annotated[int, Range(1)] = 512
    rate: Annotated[float, Range(0, 0.9)] = 0.0  # of dropout in training


class Data(NamedTuple):
    """The [data] table."""

    context: Annotated[int, Range(1)] = 128  # characters that a training window predicts
    validation_size: Annotated[float, Range(0, 0.9, open=True)] = 0.1  # share at the text's end


class Sample(NamedTuple):
    """The [sample] table: the text that the trained decoder writes."""

    prompt: str = "\n\nLOVE, n.  "
    length: Annotated[int, Range(1)] = 600
    temperature: Annotated[float, Range(0, open=True)] = 0.8


class Options(NamedTuple):
    """The tables of this task."""

    model: Model = Model()
    data: Data = Data()
    sample: Sample = Sample()


class Parts(NamedTuple):
    """The text as numbers of its characters."""

    train: Int[Array, " n"]
    validation: Int[Array, "m t"]  # windows one after the other, each with one character more


def entropies(tokens: np.ndarray) -> tuple[float, float]:
    """Return H(c_i) and H(c_i | c_{i-1}) of a text, in nats per character."""
    pairs = np.stack((tokens[:-1], tokens[1:]))
    _, single = np.unique(tokens, return_counts=True)
    _, double = np.unique(pairs, axis=1, return_counts=True)
    _, first = np.unique(pairs[0], return_counts=True)
    h, h_2, h_1 = (-(c / c.sum()) @ np.log(c / c.sum()) for c in (single, double, first))
    return float(h), float(h_2 - h_1)  # H(a, b) = H(a) + H(b | a)


def _batch(
    key: Key, step: Int[Array, ""], parts: Parts, *, batch_size: int, context: int
) -> Tokens:
    """Return windows of context + 1 characters at random places of the training part."""
    last = parts.train.shape[0] - context - 1
    starts = jax.random.randint(jax.random.fold_in(key, step), (batch_size,), 0, last + 1)
    return jax.vmap(lambda s: jax.lax.dynamic_slice(parts.train, (s,), (context + 1,)))(starts)


def _loss(
    params: PyTree, state: PyTree, batch: Tokens, key: Key, *, rate: float
) -> tuple[Scalar, PyTree]:
    return decoder.loss(params, batch, rate=rate, key=key), state


def _evaluate(params: PyTree, state: PyTree, parts: Parts, *, batch_size: int) -> dict[str, Scalar]:
    """Return the loss of the held-out windows, a batch at a time to keep memory small."""
    batches = parts.validation.reshape(-1, batch_size, parts.validation.shape[1])
    return {"validation_loss": jax.lax.map(partial(decoder.loss, params), batches).mean()}


def _cut(tokens: np.ndarray, data: Data, batch_size: int) -> Parts:
    """Split off the end of the text; whole batches of its windows are kept."""
    window = data.context + 1
    n = round(len(tokens) * (1 - data.validation_size))
    m = (len(tokens) - n - 1) // (data.context * batch_size) * batch_size
    if m == 0 or n < window:
        raise ConfigError(
            f"data.context: expected {len(tokens)} characters to hold {batch_size} windows of "
            f"{window} in the held-out part and one in the rest, got {data.context}"
        )
    held = tokens[n:]
    windows = [held[i * data.context : i * data.context + window] for i in range(m)]
    return Parts(jnp.asarray(tokens[:n], jnp.int32), jnp.asarray(np.stack(windows), jnp.int32))


def _write(
    params: PyTree, state: PyTree, key: Key, *, alphabet: np.ndarray, context: int, sample: Sample
) -> str:
    """Return the prompt and what the decoder writes after it.

    Training has shown it positions up to the context only: what it writes is cut into pieces, each
    seen after the last half of a context.
    """
    tokens = np.searchsorted(alphabet, list(sample.prompt)).astype(np.int32)
    total = len(tokens) + sample.length
    while len(tokens) < total:
        past = tokens[-max(1, context // 2) :]
        window = decoder.generate(
            params,
            jnp.asarray(past),
            key=jax.random.fold_in(key, len(tokens)),
            length=max(1, context - len(past)),
            temperature=sample.temperature,
        )
        tokens = np.concatenate((tokens, np.asarray(window)[len(past) :]))
    return "".join(alphabet[tokens[:total]])


def build(options: Options, *, batch_size: int) -> Task:
    """Return the task.

    Raises:
      ConfigError: The text is too short for these windows, the heads do not divide the model, or
        the prompt is empty or holds a character that the text does not.
    """
    model, data, sample = options
    if model.d_model % model.n_heads:
        raise ConfigError(
            f"model.n_heads: expected a divisor of model.d_model = {model.d_model}, "
            f"got {model.n_heads}"
        )
    text = datasets.devils_dictionary()
    alphabet, tokens = np.unique(list(text), return_inverse=True)
    if not sample.prompt or set(sample.prompt) - set(alphabet):
        raise ConfigError(f"sample.prompt: expected characters of the text, got {sample.prompt!r}")
    parts = _cut(tokens, data, batch_size)
    init = partial(_init, vocabulary=len(alphabet), model=model)
    unigram, bigram = entropies(tokens)
    size = n_parameters(init)
    return Task(
        data=parts,
        init=init,
        batch=partial(_batch, batch_size=batch_size, context=data.context),
        loss=partial(_loss, rate=model.rate),
        evaluate=partial(_evaluate, batch_size=batch_size),
        facts={
            "task": "text", "vocabulary": len(alphabet), "n_train": parts.train.size,
            "n_validation": parts.validation.shape[0] * data.context, "n_parameters": size,
            "unigram_entropy": unigram, "bigram_entropy": bigram,
        },
        about=(
            f"The Devil's Dictionary: {len(text)} characters, {len(alphabet)} different ones; "
            f"the last {1 - parts.train.size / len(text):.0%} are held out",
            f"entropy in nats per character: unigram {unigram:.4f}, bigram {bigram:.4f}",
            f"decoder of {size} parameters",
        ),
        sample=partial(_write, alphabet=alphabet, context=data.context, sample=sample),
    )  # fmt: skip


def _init(key: Key, *, vocabulary: int, model: Model) -> tuple[PyTree, PyTree]:
    sizes = {name: size for name, size in model._asdict().items() if name != "rate"}
    return decoder.init(key=key, vocabulary=vocabulary, **sizes), ()
