"""Residual networks: blocks that add what they compute to what they are given."""

from jaxml.nn.residual import basic, bottleneck, resnet

__all__ = ["basic", "bottleneck", "resnet"]
