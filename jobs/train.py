"""Entry point: ray job submit --working-dir . -- python jobs/train.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
