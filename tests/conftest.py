"""Shapes in signatures are checked in every test; one thread, so that results repeat and a shared machine does not stall."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook(["wmsd_core.objectives", "wmsd_core.sampling", "wmsd_core.rewards"], "beartype.beartype")
