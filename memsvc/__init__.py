"""The memory service: server, engine, sessions, retrieval, benchmarks and training."""

import os

# After every product that torch's threads share, libgomp lets them spin for some 15 ms beside
# whatever comes next; half a millisecond bridges the gaps within a forward (dev/LOG.md,
# 2026-11-30). It reads this when torch is loaded, which importing this package does not do.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
