"""The command: exit codes, output, JSON, config."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jaxml
from jaxml import cli
from jaxml.verify import TOPICS, all_cases, command, registry, select

ONE = "losses.squared/gradient"


def test_verify_one_case(capsys):
    assert cli.main(["verify", ONE]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"ok   {ONE}")
    for word in ("f64", "f32", "autodiff", "stencil", "1 of 1 cases hold", "devices:", "jaxlib"):
        assert word in out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_restricts(capsys, dtype):
    assert cli.main(["verify", ONE, "--dtype", dtype]) == 0
    out = capsys.readouterr().out
    assert ("f64" in out, "f32" in out) == (dtype == "float64", dtype == "float32")


def test_list_runs_nothing(capsys):
    assert cli.main(["verify", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [case.name for case in all_cases()]


def test_json_topics_and_mutants(capsys, tmp_path):
    path = tmp_path / "out.json"
    assert cli.main(["verify", ONE, "--mutate", "--topics", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["passed"] is True
    assert found["versions"]["jaxml"] == jaxml.__version__
    (case,) = found["cases"]
    assert case["name"] == ONE
    assert {v["dtype"] for v in case["verdicts"]} == {"float64", "float32"}
    assert case["mutants"]
    assert all(m["caught"] for m in case["mutants"])
    assert found["topics"]["convexity"]["cases"] == 1
    out = capsys.readouterr().out
    assert TOPICS["convexity"] in out
    assert f"mutants: {len(case['mutants'])} of {len(case['mutants'])} caught" in out


def test_failure_and_exception_give_exit_code_1(capsys, monkeypatch, tmp_path):
    (good,) = select(ONE)

    def broken(z, y):
        raise RuntimeError("boom")

    wrong = good._replace(name="a/wrong", hand=lambda z, y: 2 * (z - y))
    raising = good._replace(name="b/raising", hand=broken)
    monkeypatch.setattr(command, "select", lambda pattern: (wrong, raising, good))
    path = tmp_path / "out.json"
    assert cli.main(["verify", "x", "--mutate", "--json", str(path)]) == 1
    out = capsys.readouterr().out
    assert "FAIL a/wrong" in out
    assert "RuntimeError: boom" in out
    assert f"ok   {ONE}" in out
    assert "1 of 3 cases hold" in out
    assert json.loads(path.read_text())["passed"] is False


def test_a_topic_without_a_case_fails(capsys, monkeypatch):
    monkeypatch.setattr(command, "select", lambda pattern: registry.select(ONE))
    assert cli.main(["verify"]) == 1
    assert "topic without a case: adam" in capsys.readouterr().out


def test_config(capsys, tmp_path):
    config = tmp_path / "verify.toml"
    config.write_text(f'[verify]\npattern = "{ONE}"\ndtype = "float64"\ndraws = 1\nseed = 4\n')
    assert cli.main(["verify", "--config", str(config)]) == 0
    assert "f32" not in capsys.readouterr().out
    assert cli.main(["verify", "--config", str(config), "--dtype", "float32"]) == 0
    assert "f64" not in capsys.readouterr().out


def test_shipped_config_spells_out_the_defaults():
    import tomllib

    path = Path(__file__).parents[2] / "configs" / "verify.toml"
    assert tomllib.loads(path.read_text())["verify"] == command.DEFAULTS


@pytest.mark.parametrize(("arguments", "config", "match"), [
    (["verify", "no such case"], None, "no case matches"),
    (["verify"], "[verify]\ncolour = 1\n", "colour"),
    (["verify"], "[verify]\ndraws = 0\n", "draws"),
    (["verify"], '[verify]\ndtype = "float16"\n', "float16"),
    (["verify"], "[verify", "cannot read"),
])  # fmt: skip
def test_misuse_gives_exit_code_2(capsys, tmp_path, arguments, config, match):
    if config is not None:
        path = tmp_path / "verify.toml"
        path.write_text(config)
        arguments = [*arguments, "--config", str(path)]
    assert cli.main(arguments) == 2
    assert match in capsys.readouterr().err


def test_info(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("jaxml", "jaxlib", "optax", "numpy", "device", "x64", "matmul precision", "right"):
        assert word in out


def test_python_m_from_another_folder(tmp_path):
    root = Path(jaxml.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-m", "jaxml", "verify", ONE, "--dtype", "float64"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 of 1 cases hold" in done.stdout
