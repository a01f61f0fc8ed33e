"""Entry point: ray job submit --working-dir . -- python jobs/refine.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["refine", *sys.argv[1:]])
