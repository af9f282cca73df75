"""The tests of nearest neighbors."""
