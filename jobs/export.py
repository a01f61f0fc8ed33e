"""Entry point: ray job submit --working-dir . -- python jobs/export.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]])
