"""Benchmarks: each runs the real stack in a scratch home of its own and says what it saw."""
