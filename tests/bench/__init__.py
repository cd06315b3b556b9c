"""Benchmarks: `scripts/bench NAME --json`. Each runs its baselines beside what it measures."""
