"""The loop: what it writes, how it ends, and that a resumed run is the uninterrupted one."""

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxml import training
from tests import processes
from tests.training import tiny

STEPS = tiny.SETTINGS.steps


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return tiny.train(folder), tiny.records(folder)


def same(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in leaves]
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def at(step, action):
    """Return a watch that does something once, after a step."""
    done = []

    def advance(now, loss):
        if now == step and not done:
            done.append(now)
            action()

    return training.Watch(advance=advance)


class CrashError(Exception):
    """Stands for what ends a process without warning."""


def crash():
    raise CrashError


def by_hand(steps):
    """The same run in NumPy float64, with Adam by its definition."""
    task, keys = tiny.task(), jax.random.split(jax.random.key(tiny.SETTINGS.seed), 4)
    w = np.asarray(task.init(keys[0])[0]["w"], np.float64)
    m, v, found = np.zeros_like(w), np.zeros_like(w), []
    for t in range(steps):
        X, y = (np.asarray(a, np.float64) for a in task.batch(keys[1], t, task.data))
        noise = jax.random.normal(jax.random.fold_in(keys[2], t), X.shape, jnp.float32)
        X = X + 0.01 * np.asarray(noise, np.float64)
        z = X @ w
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        one_hot = np.eye(tiny.K)[y.astype(int)]
        found.append(-np.log((p * one_hot).sum(axis=1)).mean())
        g = X.T @ (p - one_hot) / len(y)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.05 * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
    return w, np.array(found)


def test_the_run_is_adam_on_these_batches(whole):
    outcome, log = whole
    w, losses = by_hand(STEPS)
    np.testing.assert_allclose(outcome.params["w"], w, rtol=1e-4, atol=1e-5)
    logged = {r["step"]: r["loss"] for r in log if "loss" in r}
    assert list(logged) == [4, 8, 12, 13]
    means = [losses[0:4].mean(), losses[4:8].mean(), losses[8:12].mean(), losses[12:13].mean()]
    np.testing.assert_allclose(list(logged.values()), means, rtol=1e-5)


def test_what_is_logged(whole):
    outcome, log = whole
    assert log[0] == {"step": 0, "task": "tiny", "n_train": tiny.N}
    assert [r["step"] for r in log if "test_loss" in r] == [5, 10, 13]
    assert [r["step"] for r in log] == sorted(r["step"] for r in log)
    assert log[1].keys() == {"step", "loss", "learning_rate", "skipped"}
    assert outcome.metrics == {k: log[-1][k] for k in ("test_loss", "test_accuracy")}
    assert (outcome.step, outcome.skipped, outcome.finished) == (STEPS, 0, True)
    assert int(outcome.state) == STEPS
    assert outcome.sample is None
    X, y = tiny.rows()
    right = (X @ np.asarray(outcome.params["w"])).argmax(axis=1) == y
    np.testing.assert_allclose(outcome.metrics["test_accuracy"], right.mean(), rtol=1e-6)


@pytest.mark.parametrize("step", [1, 4, 5, 9, 12])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, whole, step):
    stopped = tiny.train(tmp_path, watch=at(step, lambda: signal.raise_signal(signal.SIGINT)))
    assert not stopped.finished
    assert step <= stopped.step <= step + 1  # the step at hand is finished
    resumed = tiny.train(tmp_path, resume=True)
    assert same(resumed.params, whole[0].params)
    assert same(resumed.state, whole[0].state)
    assert tiny.records(tmp_path) == whole[1]


@pytest.mark.parametrize("step", [3, 6, 12])
def test_crashed_and_resumed_equals_uninterrupted(tmp_path, whole, step):
    with pytest.raises(CrashError):
        tiny.train(tmp_path, watch=at(step, crash))
    resumed = tiny.train(tmp_path, resume=True)
    assert same(resumed.params, whole[0].params)
    assert tiny.records(tmp_path) == whole[1]


def test_sigterm_asks_too_and_handlers_come_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stopped = tiny.train(tmp_path, watch=at(2, lambda: signal.raise_signal(signal.SIGTERM)))
    assert not stopped.finished
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_second_interrupt_is_immediate(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # In the background of a script a process ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            tiny.train(tmp_path, watch=at(2, twice))
    finally:
        signal.signal(signal.SIGINT, before)
    assert tiny.train(tmp_path, resume=True).finished


def test_runs_outside_of_the_main_thread(tmp_path, whole):
    found = []
    thread = threading.Thread(target=lambda: found.append(tiny.train(tmp_path)))
    thread.start()
    thread.join()
    assert same(found[0].params, whole[0].params)


CODE = """
    import sys
    from tests.training import tiny
    import numpy as np
    settings = tiny.SETTINGS._replace(steps=400, checkpoint_every=50)
    outcome = tiny.train(sys.argv[1], settings=settings, resume={resume}, watch={watch})
    print(np.asarray(outcome.params["w"]).tobytes().hex())
"""


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    slow = "__import__('jaxml').training.Watch(advance=lambda *a: __import__('time').sleep(0.01))"
    code = textwrap.dedent(CODE.format(resume=False, watch=slow))
    environment = processes.environment()
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "killed")], env=environment
    )
    log, limit = tmp_path / "killed" / "metrics.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_bytes().count(b"\n") > 8):  # past step 100
        assert time.monotonic() < limit
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL

    def finish(folder, resume):
        text = CODE.format(resume=resume, watch=None).replace("sys.argv[1]", repr(str(folder)))
        return processes.run(text).strip()

    assert finish(tmp_path / "killed", True) == finish(tmp_path / "whole", False)
    assert tiny.records(tmp_path / "killed") == tiny.records(tmp_path / "whole")


def test_more_steps_go_on_from_the_end(tmp_path, whole):
    tiny.train(tmp_path, settings=tiny.SETTINGS._replace(steps=8))
    resumed = tiny.train(tmp_path, resume=True)
    assert same(resumed.params, whole[0].params)


def test_resuming_a_finished_run_changes_nothing(tmp_path, whole):
    tiny.train(tmp_path)
    again = tiny.train(tmp_path, resume=True)
    assert again.finished
    assert again.metrics == whole[0].metrics
    assert tiny.records(tmp_path) == whole[1]


def test_an_existing_run_is_not_lost_by_accident(tmp_path):
    first = tiny.train(tmp_path, settings=tiny.SETTINGS._replace(steps=4, seed=8))
    with pytest.raises(training.CheckpointError, match=r"holds a run: go on with it \(--resume\)"):
        tiny.train(tmp_path)
    second = tiny.train(tmp_path, overwrite=True)
    assert second.step == STEPS
    assert not same(first.params, second.params)
    assert tiny.records(tmp_path)[-1]["step"] == STEPS


def test_nothing_to_resume(tmp_path):
    with pytest.raises(training.CheckpointError, match=r"checkpoint.npz: there is no checkpoint"):
        tiny.train(tmp_path, resume=True)


def test_another_configuration_is_refused(tmp_path):
    tiny.train(tmp_path, settings=tiny.SETTINGS._replace(steps=4))
    with pytest.raises(training.CheckpointError) as error:
        tiny.train(tmp_path, settings=tiny.SETTINGS._replace(seed=4, batch_size=7), resume=True)
    assert "train.seed: 3, not 4" in str(error.value)
    assert "train.batch_size: 6, not 7" in str(error.value)
    assert "steps" not in str(error.value)  # a run may be prolonged


def test_another_optimizer_is_refused_by_its_state(tmp_path):
    tiny.train(tmp_path, settings=tiny.SETTINGS._replace(steps=4))
    other = training.Optimizer(optax.sgd(0.1, momentum=0.9), lambda step: 0.1)
    with pytest.raises(training.CheckpointError, match="another model or optimizer wrote it"):
        tiny.train(tmp_path, optimizer=other, resume=True)


def test_steps_that_are_not_finite_are_skipped_and_counted(tmp_path, whole):
    # The state counts batches; once it is spoiled it stays so: all later steps are skipped.
    settings = tiny.SETTINGS._replace(max_skipped=100)
    outcome = tiny.train(tmp_path, settings=settings, spoil=(5, 6))
    assert (outcome.step, outcome.skipped, int(outcome.state)) == (STEPS, STEPS - 5, 5)
    w, _ = by_hand(5)
    np.testing.assert_allclose(outcome.params["w"], w, rtol=1e-4, atol=1e-5)
    log = [r for r in tiny.records(tmp_path) if "loss" in r]
    assert [r["skipped"] for r in log] == [0, 3, 7, 8]
    assert log[-1]["loss"] is None  # no step since the last record was applied


def test_one_bad_row_costs_only_its_batches(tmp_path):
    X, y = tiny.rows()
    X[0] = np.inf
    outcome = tiny.train(tmp_path, data=(X, y))
    task, keys = tiny.task(), jax.random.split(jax.random.key(tiny.SETTINGS.seed), 4)
    index = (jnp.arange(tiny.N), jnp.arange(tiny.N))
    hit = sum(bool((task.batch(keys[1], t, index)[0] == 0).any()) for t in range(STEPS))
    assert 0 < hit < STEPS
    assert outcome.skipped == hit
    assert np.isfinite(outcome.params["w"]).all()


def test_too_many_bad_steps_end_the_run_and_keep_the_checkpoint(tmp_path):
    settings = tiny.SETTINGS._replace(max_skipped=2)
    with pytest.raises(training.TrainingError) as error:
        tiny.train(tmp_path, settings=settings, spoil=(6, 10**6))
    for word in ("step 9", "3 steps in a row", "loss nan", "learning rate", "checkpoint of step 5"):
        assert word in str(error.value)
    with np.load(tmp_path / "checkpoint.npz", allow_pickle=False) as file:
        assert np.isfinite(file["leaf.params['w']"]).all()
        assert json.loads(file["about"].tobytes())["step"] == 5


def test_gradient_is_clipped_by_its_norm(tmp_path):
    plain = training.Optimizer(optax.sgd(1.0), lambda step: 1.0)
    settings = tiny.SETTINGS._replace(steps=1, clip_norm=1e-3)
    start = tiny.task().init(jax.random.split(jax.random.key(settings.seed), 4)[0])[0]
    end = tiny.train(tmp_path, settings=settings, optimizer=plain).params
    moved = np.linalg.norm(np.asarray(end["w"], float) - np.asarray(start["w"], float))
    np.testing.assert_allclose(moved, 1e-3, rtol=1e-3)


def test_schedule_is_followed_and_logged(tmp_path):
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    optimizer = training.Optimizer(optax.sgd(schedule), schedule)
    tiny.train(tmp_path, optimizer=optimizer)
    logged = {r["step"]: r["learning_rate"] for r in tiny.records(tmp_path) if "loss" in r}
    expected = {step: max(0.0, 0.1 * (1 - (step - 1) / 10)) for step in (4, 8, 12, 13)}
    assert logged == pytest.approx(expected, abs=1e-7)


def test_watch_sees_every_step_once(tmp_path):
    seen, said = [], []
    watch = training.Watch(advance=lambda step, loss: seen.append((step, loss)), say=said.append)
    tiny.train(tmp_path, watch=watch)
    assert [step for step, _ in seen] == list(range(1, STEPS + 1))
    np.testing.assert_allclose([loss for _, loss in seen], by_hand(STEPS)[1], rtol=1e-4)
    assert len(said) == 3
    assert "test_accuracy" in said[0]


def test_sample_is_returned_and_written(tmp_path):
    outcome = tiny.train(tmp_path, sample=True)
    assert len(outcome.sample) == 6
    assert Path(tmp_path / "sample.txt").read_text() == outcome.sample


def test_one_compilation(tmp_path):
    task, traces = tiny.task(), []

    def loss(*arguments):
        traces.append(None)
        return task.loss(*arguments)

    training.train(
        task._replace(loss=loss), optimizer=tiny.ADAM, settings=tiny.SETTINGS, folder=tmp_path
    )
    assert len(traces) == 1
