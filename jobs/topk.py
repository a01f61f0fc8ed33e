"""Entry point: ray job submit --working-dir . -- python jobs/topk.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["topk", *sys.argv[1:]])
