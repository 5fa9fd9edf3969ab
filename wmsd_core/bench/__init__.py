"""Benchmarks: which items, which videos, which verdicts, what they add up to, and a page that shows it.

`worldtasks` says what is measured, `generation` makes the videos, `judging` asks about them, `scores` counts,
`comparison` and `breakdown` compare, `report` writes the page. Each works on the store, in short transactions, and does
exactly the missing work when it is run again.
"""
