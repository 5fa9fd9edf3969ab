"""DreamGen Bench (arXiv 2505.12705): robot arms that are told what to do, on objects, behaviors and environments.

`layout` reads the names of pictures and videos, `suite` is the benchmark as this project asks it (strict: one item, one video,
a verdict or none), `official` what the published scripts make of the same files.
"""
