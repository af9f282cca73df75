"""The tests of neural layers."""
