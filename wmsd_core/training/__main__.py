"""`python -m wmsd_core.training RUN_DIR`."""

import sys

from wmsd_core.training.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
