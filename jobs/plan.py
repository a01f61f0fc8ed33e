"""Entry point: ray job submit --working-dir . -- python jobs/plan.py SOURCE RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["plan", *sys.argv[1:]])
