"""Published material that some tests compare with; it is not part of the project, and they are skipped without it."""

from pathlib import Path

REFERENCE = next(
    (folder for parent in Path(__file__).parents if (folder := parent / "shared" / "reference").is_dir()),
    Path("no-reference-here"),
)
"""The folder `shared/reference` beside the checkout, or beside a folder above it."""
