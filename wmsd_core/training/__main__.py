"""`python -m wmsd_core.training RUN_DIR`.

To start and to end is most of a short run, and of what a kill costs. Importing makes objects by the hundred thousand that
stay, and Python would look for garbage in them again and again; at the end it would take them apart, one by one.

Events alone go to standard output: what a reward or a library prints goes to standard error, which is the run's log.
"""

import atexit
import gc
import os
import sys

_ended: list[int] = []


@atexit.register  # first in, last out: whatever libraries do at the end, they have done
def _leave() -> None:
    """Ends the process before the interpreter is torn down, if the run has ended with a status."""
    if _ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_ended[0])


if __name__ == "__main__":
    gc.disable()
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from wmsd_core.training.process import main

    gc.freeze()
    gc.enable()
    _ended.append(main(sys.argv[1:], events))
    sys.exit(_ended[0])
