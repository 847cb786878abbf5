"""The embedded suite `digits` and its model `digits-cnn`: real banks on a fresh machine, with no network."""

from ood_bench.digits.banks import MODEL, SUITE, ensure_banks

__all__ = ["MODEL", "SUITE", "ensure_banks"]
