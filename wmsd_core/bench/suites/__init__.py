"""One file per benchmark: a function that returns it as a value. How to add one is in `docs/add-a-benchmark.md`."""
