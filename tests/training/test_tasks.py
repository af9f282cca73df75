"""The two shipped tasks: their data, their batches, and what their losses are compared with."""

import collections
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import datasets
from jaxml.training import digits, text

TEXT = text.Options(text.Model(8, 2, 1, 16), text.Data(context=16), text.Sample("THE ", 12, 1.0))


@pytest.fixture(scope="module")
def rows():
    return digits.build(digits.Options(), batch_size=64).data


@pytest.fixture(scope="module")
def words():
    return text.build(TEXT, batch_size=4)


def test_digits_are_split_by_class_and_nothing_is_lost(rows):
    table = datasets.digits(dtype=jnp.float32)
    assert (rows.X.shape, rows.X_test.shape) == ((1437, 8, 8, 1), (360, 8, 8, 1))
    assert rows.X.dtype == jnp.float32
    everything = np.concatenate((rows.X, rows.X_test)).reshape(-1, 64) * 16
    labels = np.concatenate((rows.y, rows.y_test))
    joined = np.column_stack((everything, labels))
    before = np.column_stack((table.X, table.y))
    np.testing.assert_array_equal(
        joined[np.lexsort(joined.T)], before[np.lexsort(before.T)].astype(joined.dtype)
    )
    share = np.bincount(rows.y_test) - np.bincount(table.y) * 360 / 1797
    assert np.abs(share).max() < 1


def test_split_follows_its_own_seed(rows):
    again = digits.build(digits.Options(), batch_size=8).data
    np.testing.assert_array_equal(again.X_test, rows.X_test)
    other = digits.build(digits.Options(data=digits.Data(split_seed=1)), batch_size=8).data
    assert not np.array_equal(other.y_test, rows.y_test)


def test_an_epoch_shows_every_row_once_and_the_next_in_another_order(rows, key):
    index = rows._replace(X=jnp.zeros((100, 8, 8, 1)), y=jnp.arange(100))
    batch = jax.jit(lambda step: digits._batch(key, step, index, batch_size=24, shift=0)[1])
    one, two = (np.concatenate([batch(4 * e + i) for i in range(4)]) for e in range(2))
    assert len(set(one.tolist())) == len(set(two.tolist())) == 96
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_shifted_moves_each_image_by_whole_pixels(key, rng, shift):
    X = jnp.asarray(rng.normal(size=(600, 8, 8, 1)), jnp.float32)
    moved = np.asarray(digits.shifted(X, shift=shift, key=key))
    padded = np.pad(X, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    seen = collections.Counter()
    for image, around in zip(moved, padded, strict=True):
        fits = [
            (i, j)
            for i in range(2 * shift + 1)
            for j in range(2 * shift + 1)
            if np.array_equal(image, around[i : i + 8, j : j + 8])
        ]
        assert len(fits) == 1
        seen[fits[0]] += 1
    assert len(seen) == (2 * shift + 1) ** 2


def test_digits_loss_and_accuracy():
    task = digits.build(digits.Options(digits.Model(widths=(4,), blocks=(1,))), batch_size=16)

    @jax.jit
    def values():
        params, state = task.init(jax.random.key(0))
        batch = task.batch(jax.random.key(1), jnp.int32(3), task.data)
        loss, after = task.loss(params, state, batch, jax.random.key(2))
        return loss, state, after, task.evaluate(params, state, task.data)

    loss, state, after, measured = values()
    assert abs(float(loss) - math.log(10)) < 1.5  # nothing learned yet
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert 0 <= float(measured["test_accuracy"]) <= 0.5
    assert (task.facts["n_train"], task.facts["n_test"]) == (1437, 360)


def test_entropies_of_short_texts():
    letters = np.array([0, 1] * 50 + [0])
    h, conditional = text.entropies(letters)  # each letter tells the next one
    assert h == pytest.approx(-(51 * math.log(51 / 101) + 50 * math.log(50 / 101)) / 101)
    assert conditional == pytest.approx(0, abs=1e-12)


def test_entropies_are_those_of_counting(words):
    full = datasets.devils_dictionary()
    single, pairs = (
        collections.Counter(full),
        collections.Counter(itertools.pairwise(full)),
    )
    first = collections.Counter(full[:-1])
    n = len(full)
    h = -sum(c / n * math.log(c / n) for c in single.values())
    conditional = -sum(c / (n - 1) * math.log(c / first[a]) for (a, _), c in pairs.items())
    assert words.facts["unigram_entropy"] == pytest.approx(h, rel=1e-12)
    assert words.facts["bigram_entropy"] == pytest.approx(conditional, rel=1e-10)
    assert conditional < h < math.log(len(single))
    assert words.facts["vocabulary"] == len(single)


def test_text_is_cut_without_overlap(words):
    full = datasets.devils_dictionary()
    alphabet = np.array(sorted(set(full)))
    train = "".join(alphabet[np.asarray(words.data.train)])
    assert full.startswith(train)
    windows = alphabet[np.asarray(words.data.validation)]
    assert windows.shape[1] == 17
    assert len(windows) % 4 == 0
    held = "".join("".join(window[:-1]) for window in windows)
    assert full[len(train) :].startswith(held)
    assert len(full) - len(train) - len(held) <= 4 * 16 + 1
    np.testing.assert_array_equal(windows[:-1, -1], windows[1:, 0])  # targets of the last position


def test_text_batches_are_windows_of_the_training_part(words):
    batch = jax.jit(lambda step: words.batch(jax.random.key(5), step, words.data))
    train = np.asarray(words.data.train).tobytes()
    seen = np.asarray(batch(jnp.int32(0)))
    assert seen.shape == (4, 17)
    assert all(window.tobytes() in train for window in seen)
    np.testing.assert_array_equal(seen, batch(jnp.int32(0)))
    assert not np.array_equal(seen, batch(jnp.int32(1)))


@pytest.fixture(scope="module")
def untrained(words):
    """Parameters drawn for the decoder."""
    return jax.jit(words.init)(jax.random.key(0))


def test_text_loss_before_training_and_validation(words, untrained):
    loss_of = jax.jit(lambda windows: words.loss(*untrained, windows, jax.random.key(2))[0])
    few = words.data._replace(validation=words.data.validation[:8])
    value = jax.jit(words.evaluate)(*untrained, few)["validation_loss"]
    direct = np.mean([float(loss_of(few.validation[i : i + 4])) for i in (0, 4)])
    np.testing.assert_allclose(value, direct, rtol=1e-5)
    loss = loss_of(words.batch(jax.random.key(1), jnp.int32(0), words.data))
    assert abs(float(loss) - math.log(words.facts["vocabulary"])) < 1.5


def test_dropout_follows_the_key(words, untrained):
    task = text.build(TEXT._replace(model=TEXT.model._replace(rate=0.5)), batch_size=4)
    batch = words.data.validation[:4]
    loss = jax.jit(lambda key: task.loss(*untrained, batch, key)[0])
    one, two, again = (loss(jax.random.key(k)) for k in (0, 1, 0))
    assert one == again != two


def test_sample_begins_with_the_prompt_and_follows_the_key(words, untrained):
    one, two, again = (words.sample(*untrained, jax.random.key(k)) for k in (0, 1, 0))
    assert one.startswith("THE ")
    assert len(one) == len("THE ") + 12
    assert one == again != two


def test_sample_stays_within_the_positions_of_training(words, untrained, monkeypatch):
    asked = []

    def generate(params, prompt, *, key, length, temperature):
        asked.append((len(prompt), length, str(jax.random.key_data(key)), temperature))
        return jnp.concatenate((prompt, jnp.full(length, 7, jnp.int32)))

    monkeypatch.setattr(text.decoder, "generate", generate)
    letter = sorted(set(datasets.devils_dictionary()))[7]
    longer = TEXT.sample._replace(length=40)
    assert words.sample(*untrained, jax.random.key(0), sample=longer) == "THE " + 40 * letter
    assert [call[:2] for call in asked] == [(4, 12), (8, 8), (8, 8), (8, 8), (8, 8)]
    assert len({call[2] for call in asked}) == 5
    assert {call[3] for call in asked} == {1.0}
    asked.clear()
    beyond = TEXT.sample._replace(prompt="THE DEVIL AND MAN", length=3)
    assert words.sample(*untrained, jax.random.key(0), sample=beyond) == beyond.prompt + 3 * letter
    assert [call[:2] for call in asked] == [(8, 8)]
