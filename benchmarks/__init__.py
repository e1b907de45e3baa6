"""What asynccache costs, beside its peers and as ratios: ``python -m benchmarks memory memoize http``."""
