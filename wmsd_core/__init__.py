"""The library of World Model Self-Distillation: data, training and benchmarks, with no orchestration in it."""

__version__ = "0.1.0"
