"""Benchmarks: jaxml beside the libraries a user would pick instead, at equal quality.

``python -m benchmarks configs/bench_cpu.toml`` prints the table. The method is in ``harness``, the
machine's limits in ``limits``, the neutral measures of quality in ``quality``, one family of cases
per file (``linear``), its peers in ``peers``, committed results in ``results/``.
"""
