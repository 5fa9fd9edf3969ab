"""VBVR-Bench (arXiv 2602.20159; the paper's section A.5): 100 puzzles with five pictures each, scored by rules.

`layout` reads both public layouts of truth and videos, `kit` runs the scorers of the user's own installation in processes of
their own, `scoring` brings both together, with a still first frame beside every model, and `tables` says what comes of it.
"""
