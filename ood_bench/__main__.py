"""`python -m ood_bench` is `ood-bench`."""

from ood_bench.cli import main

main()
