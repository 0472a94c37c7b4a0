"""The papers' claims as experiments: ``python -m benchmarks.ablations``."""
