"""Entry point: ray job submit --working-dir . -- python jobs/retry.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["retry", *sys.argv[1:]])
