"""The tests of jaxml, laid out like the package."""
