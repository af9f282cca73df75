"""The tests of the linear family."""
