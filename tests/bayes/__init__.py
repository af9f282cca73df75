"""Tests of jaxml.bayes."""
