"""Entry point: ray job submit --working-dir . -- python jobs/segment.py SOURCE RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["segment", *sys.argv[1:]])
