"""Benchmarks: which items, which videos, which verdicts, what they add up to, and a page that shows it.

A `benchmark` says what is measured (each is one file of `suites`), an `evaluation` of whom; `generation` makes the videos,
`judging` asks about them, `scores` counts, `comparison` and `breakdown` compare, `report` writes the page. Each works on the
store, in short transactions, and does exactly the missing work when it is run again.
"""
