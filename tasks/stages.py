"""The stages of the pipeline, and which parts of a recipe each is recorded under: what its last run is compared by."""

PARTS: dict[str, tuple[str, ...]] = {
    "render": ("render",),
    "filter": ("scan", "measure", "filter"),
    "dedup": ("measure", "dedup"),
    "rank": ("measure", "rank"),
    "screen": ("screen", "models"),
    "generate": ("generate", "label", "select", "split", "models"),
    "train": ("train", "models"),
    "evaluate": ("evaluate", "train", "models"),
    "report": (),
}
"""In order."""
