"""Tests of jaxml.nn."""
