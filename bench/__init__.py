"""Benchmarks: ours beside others', in one run, on one PostgreSQL."""
