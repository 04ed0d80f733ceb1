"""Measurements of the running product: `python -m bench.push`. Each starts what it needs, and ends it."""
