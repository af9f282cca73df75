"""A text to learn a language model from: one compressed file of plain ASCII."""

import gzip
from importlib import resources

__all__ = ["devils_dictionary"]


def devils_dictionary() -> str:
    r"""The Devil's Dictionary: 382611 characters, 81 different ones, a preface and 1000 entries.

    Ambrose Bierce's satirical lexicon: a headword in capitals, its part of speech, a definition,
    often with verses and the name of their invented poet at the right margin. Lines end with one
    newline, entries with an empty line; underscores mark italics.

    Source: A. Bierce (1911), The Devil's Dictionary, Albert and Charles Boni; the electronic
    edition of the Internet Wiretap (1993, entered by Aloysius), with the corrections of Debian's
    package dict-devil 1.0-13.1. Left out here: the notes of that package and of that edition before
    the preface, the alphabet that closes the file, braces around cross-references, and spaces at
    the ends of lines. License: public domain, the copyright has expired.

    Example:
      >>> text = devils_dictionary()
      >>> text[text.index("LOGIC, n.") :].split("\n")[0]
      'LOGIC, n.  The art of thinking and reasoning in strict accordance with'
    """
    file = resources.files("jaxml.datasets").joinpath("data", "devils_dictionary.txt.gz")
    return gzip.decompress(file.read_bytes()).decode("ascii")
