"""Entry point: ray job submit --working-dir . -- python jobs/report.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
