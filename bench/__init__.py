"""Benchmarks: the filters against the same Envoy without them, in one run.

Only ratios mean anything on a machine that others use too, so every figure here is taken next to
its counterpart, in turns. See docs/benchmarks.md for what exactly is measured.
"""
