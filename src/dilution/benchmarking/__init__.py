"""Methods for noisy labels compared on the standard noises of a data set: `dilution benchmark`."""

from dilution.benchmarking.benchmark import benchmark, estimate_benchmark
from dilution.benchmarking.methods import METHODS, Method, list_methods, resolve_methods
from dilution.benchmarking.result import Benchmark

__all__ = [
    "METHODS",
    "Benchmark",
    "Method",
    "benchmark",
    "estimate_benchmark",
    "list_methods",
    "resolve_methods",
]
