"""The page of a report: self-contained, complete, well-formed, honest, and written whole or not."""

import builtins
import os
import re
import stat
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from jaxml import cli
from jaxml.verify import TOPICS, command, page, report, select
from jaxml.verify.case import Reading, Verdict
from jaxml.verify.page import canvas, section, sources
from jaxml.verify.page.figures import FIGURES, Figure
from jaxml.verify.page.formulas import CHAPTERS, FORMULAS
from tests.processes import run

VOID = {"meta", "br", "link", "img", "hr", "input"}
ONE = "optim.adam/bias-of-the-moments"


class Tree(HTMLParser):
    """Elements and texts of a page; raises where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def result(case, *, factor=1e-3, mutations=None):
    """What a run of the case might have found: errors of factor times its tolerances."""
    verdicts = tuple(
        Verdict(case.name, dtype, (Reading("autodiff", "", factor * bound, bound),))
        for dtype, bound in (("float64", case.tol.float64), ("float32", case.tol.float32))
    )
    return report.Result(case, verdicts, mutations, 0.1)


DRAWN = page.Drawn(('<svg role="img" aria-label="a"></svg>',), "What is seen.")


def written(folder, results, **options):
    rows = report.topic_rows(results, all_topics=False)
    drawn = {row[0]: DRAWN for row in rows} | options.pop("drawn", {})
    path = page.write(folder, results, rows, drawn, seconds=61.0, **options)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of one topic, by the command."""
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    assert cli.main(["verify", ONE, "--report", str(folder)]) == 0
    return folder / "index.html"


def test_the_command_writes_one_page(made):
    assert [path.name for path in made.parent.iterdir()] == ["index.html"]
    tree = Tree(made.read_text(encoding="utf-8"))
    for word in (
        ONE,
        "Adam",
        "Bias correction",
        "float64",
        "float32",
        "1 of 1 cases hold",
        "jaxlib",
    ):
        assert word in tree.text
    assert len(tree.all("svg")) == 1 + len(FIGURES["adam"].alts)
    assert len(tree.all("math")) == len(FORMULAS["adam"][1])
    assert [a["id"] for a in tree.all("section")] == ["adam"]
    assert "verify optim.adam/bias-of-the-moments --report folder" in tree.text


def test_a_topic_as_pattern_is_reported_alone(tmp_path, monkeypatch):
    cases = [case for case in select("l1-l2") if len(case.topics) > 1]
    assert cases
    monkeypatch.setattr(command, "select", lambda pattern: cases[:2])
    monkeypatch.setattr(report, "examine", lambda case, **options: result(case))
    monkeypatch.setattr(page, "draw", lambda topic: DRAWN)
    assert cli.main(["verify", "l1-l2", "--report", str(tmp_path)]) == 0
    tree = Tree((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert [a["id"] for a in tree.all("section")] == ["l1-l2"]
    assert all(case.name in tree.text for case in cases[:2])


@pytest.mark.parametrize(("text", "sentence"), [
    ("responsibilities are", "Responsibilities are."), ("a window of", "A window of."),
    ("u'Su is", "u'Su is."), ("l2 shifts", "l2 shifts."), ("alpha = 1/2", "alpha = 1/2."),
    ("sigma' <= 1/4", "sigma' <= 1/4."), ("dL/dx is", "dL/dx is."), ("", "."),
])  # fmt: skip
def test_statements_begin_with_a_capital_or_a_formula(text, sentence):
    assert section._sentence(text) == sentence


def test_nothing_is_loaded_and_nothing_runs(made):
    text = made.read_text(encoding="utf-8")
    tree = Tree(text)
    names = {name for name, _ in tree.elements}
    assert not names & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "audio",
        "video",
        "base",
    }
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    for name, attributes in tree.elements:
        assert not [key for key in attributes if key.startswith("on")]
        assert "src" not in attributes
        for key, value in attributes.items():
            if name != "a" and key in ("href", "xlink:href"):
                assert value.startswith(("#", "data:image/png"))
            elif not key.startswith("xmlns"):
                assert "http" not in value


def test_links_lead_to_lines_of_this_installation(made):
    links = [a["href"] for a in Tree(made.read_text(encoding="utf-8")).all("a")]
    files = [link for link in links if not link.startswith("#")]
    assert files
    assert all((made.parent / link).resolve().is_file() for link in files)
    inside = {link[1:] for link in links if link.startswith("#")}
    ids = {a["id"] for _, a in Tree(made.read_text(encoding="utf-8")).elements if "id" in a}
    assert inside <= ids


def test_ids_are_unique_and_headings_in_order(made):
    tree = Tree(made.read_text(encoding="utf-8"))
    ids = [a["id"] for _, a in tree.elements if "id" in a]
    assert len(ids) == len(set(ids))
    levels = [int(name[1]) for name, _ in tree.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    assert all(a.get("aria-label") and a.get("role") == "img" for a in tree.all("svg"))


def test_a_figure_is_the_same_bytes_each_time():
    with canvas.style():
        first, second = page.draw("adam"), page.draw("adam")
    assert first == second
    assert len(set(first.svgs)) == len(first.svgs)


@pytest.mark.parametrize("topic", FIGURES)
def test_figure(topic):
    with canvas.style():
        drawn = page.draw(topic)
    assert not drawn.error
    assert drawn.caption.endswith(".")
    assert not re.search(r"\b(nan|inf)\b", drawn.caption)
    for svg, alt in zip(drawn.svgs, FIGURES[topic].alts, strict=True):
        xlink = "xmlns:xlink='http://www.w3.org/1999/xlink'"  # HTML knows it without being told
        root = ET.fromstring(svg.replace("<svg ", f"<svg {xlink} ", 1))
        assert root.attrib["aria-label"] == alt
        ids = re.findall(r' id="([^"]*)"', svg)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'(?:url\(#|href="#)([\w-]+)', svg)) == set(ids)
        assert all(name.startswith(topic) for name in ids)
        shapes = sum(svg.count(f"<{shape} ") for shape in ("path", "use", "image"))
        assert shapes > 5
        assert "#c0000" not in svg  # every color follows the page
        assert len(svg) < 120_000


def test_every_topic_has_a_name_equations_a_chapter_and_a_figure():
    listed = [topic for topics in CHAPTERS.values() for topic in topics]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(FORMULAS)
    assert set(TOPICS) <= set(listed)
    assert set(TOPICS) == set(FIGURES)


@pytest.mark.parametrize("topic", FORMULAS)
def test_equations_are_understood(topic):
    from latex2mathml.converter import convert

    _, formulas = FORMULAS[topic]
    assert formulas
    for text in formulas:
        math = convert(text, display="block")
        ET.fromstring(math)
        assert "\\" not in math
        assert "merror" not in math


def test_all_cases_of_a_topic_are_shown(tmp_path):
    cases = select("kernel-trick")
    text = written(tmp_path, [result(case) for case in cases])
    tree = Tree(text)
    for case in cases:
        assert case.name in tree.text
    assert "jaxml/kernels.py" in tree.text
    assert "jaxml/closed_form/kernels.py" in tree.text
    assert "FAILS" not in text


def test_what_fails_is_red_open_and_explained(tmp_path):
    good, bad = select("losses.squared")[:2]
    lazy = page.Drawn((), "", "ValueError: a <tag> & more")
    caught = (report.Mutation("sign", False, 0.0),)
    results = [
        result(good), result(bad, factor=30.0),
        result(good._replace(name="a/mutant"), mutations=caught),
    ]  # fmt: skip
    text = written(tmp_path, results, drawn={good.topics[0]: lazy})
    tree = Tree(text)
    assert tree.text.count("FAILS") >= 2
    assert '<tr class="fails">' in text
    assert "<details open>" in text
    assert "1 of 3 cases hold" in tree.text
    assert f"fails: {bad.name}" in tree.text
    assert "DISAGREES" in tree.text
    assert "not caught: sign" in tree.text
    assert "No figure: ValueError: a <tag> & more" in tree.text
    assert "&lt;tag&gt; &amp; more" in text


def test_a_topic_without_a_case_is_said(tmp_path):
    (case,) = select(ONE)
    rows = report.topic_rows([result(case)], all_topics=True)
    drawn = {row[0]: DRAWN for row in rows}
    text = page.write(tmp_path, [result(case)], rows, drawn, seconds=1.0).read_text()
    assert Tree(text).text.count("no case") >= len(TOPICS) - 1


def test_names_and_references_are_escaped(tmp_path):
    (case,) = select(ONE)
    odd = case._replace(name="a/<b>&'\"", ref='</td><script>alert("x")</script>')
    tree = Tree(written(tmp_path, [result(odd)], pattern="<i>*&"))
    assert not tree.all("script")
    assert not tree.all("b")
    assert not tree.all("i")
    assert "a/<b>&'\"" in tree.text
    assert "verify <i>*& --report" in tree.text


def test_links_under_an_address(tmp_path):
    (case,) = select(ONE)
    base = "https://example.org/jaxml/blob/main/"
    text = written(tmp_path, [result(case)], base=base)
    links = [a["href"] for a in Tree(text).all("a") if not a["href"].startswith("#")]
    assert links
    assert all(link.startswith(f"{base}jaxml/") for link in links)
    assert any(re.search(r"\.py#L\d+$", link) for link in links)


def test_sources_see_through_transformations():
    from functools import partial

    import jax

    from jaxml import losses

    line = losses.squared.__wrapped__ if hasattr(losses.squared, "__wrapped__") else losses.squared
    want = sources.Source(Path(losses.__file__).resolve(), line.__code__.co_firstlineno)
    for f in (losses.squared, jax.jit(jax.grad(losses.squared)), partial(losses.squared, y=0.0)):
        assert sources.place(f) == want
    assert sources.place(len) is None
    assert sources.place(lambda x: x) is None  # not of this package


def test_an_old_page_is_replaced_whole(tmp_path, monkeypatch):
    (case,) = select(ONE)
    (tmp_path / "index.html").write_text("old")
    monkeypatch.setattr(page, "page", lambda about: "new \ud800")  # cannot be written as UTF-8
    with pytest.raises(ValueError, match="surrogates"):
        written(tmp_path, [result(case)])
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "old"
    monkeypatch.undo()
    written(tmp_path, [result(case)])
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
    mode = stat.S_IMODE((tmp_path / "index.html").stat().st_mode)
    assert os.name == "nt" or mode == 0o644


def test_a_figure_that_fails_fails_the_command(tmp_path, monkeypatch, capsys):
    def broken(*panels):
        raise RuntimeError("no ink")

    monkeypatch.setitem(FIGURES, "adam", Figure(broken, ("nothing",)))
    assert cli.main(["verify", ONE, "--dtype", "float64", "--report", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "no figure for adam: RuntimeError: no ink" in out
    assert "1 of 1 cases hold" in out
    assert "No figure: RuntimeError: no ink" in (tmp_path / "index.html").read_text()


def test_a_topic_without_a_figure_is_an_error(monkeypatch):
    monkeypatch.delitem(FIGURES, "adam")
    assert "none" in page.draw("adam").error


def test_a_folder_that_cannot_be_used_is_said_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "examine", lambda *a, **k: pytest.fail("a case was run"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "index.html").mkdir(parents=True)
    for name in ("file", "file/below", "folder"):
        assert cli.main(["verify", ONE, "--report", str(tmp_path / name)]) == 2
        assert f"cannot write a report to {tmp_path / name}" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "match"), [
    (["--list", "--report", "x"], "nothing to report"), (["--source", "x"], "--report DIR"),
])  # fmt: skip
def test_options_that_would_be_ignored_are_refused(arguments, match, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["verify", ONE, *arguments]) == 2
    assert match in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["matplotlib", "latex2mathml"])
def test_without_the_extra_the_message_names_it(missing, tmp_path, monkeypatch, capsys):
    real = builtins.__import__

    def absent(name, *arguments, **options):
        if name.startswith(missing):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert cli.main(["verify", ONE, "--report", str(tmp_path / "new")]) == 2
    assert "pip install '.[plot]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_matplotlib_is_imported_only_for_a_report():
    code = """
        import sys, jaxml.cli, jaxml.verify.page
        print([m for m in sys.modules if m.startswith(("matplotlib", "latex2mathml"))])
    """
    assert run(code).strip() == "[]"
