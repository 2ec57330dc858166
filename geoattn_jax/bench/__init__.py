"""Measurements: `python -m geoattn_jax.bench SUITE` writes JSON, `... report` makes BENCHMARKS.md of it."""
