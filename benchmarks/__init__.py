"""Benchmarks: each a command of its own, with both sides of a ratio in one run."""

import memsvc  # noqa: F401  (how long threads spin is settled before torch is loaded)
