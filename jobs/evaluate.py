"""Entry point: ray job submit --working-dir . -- python jobs/evaluate.py RUN --truth DIR."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
