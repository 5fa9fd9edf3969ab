"""How many threads a task that reads pictures may take."""

import os

CORES = os.cpu_count() or 1
