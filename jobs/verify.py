"""Entry point: ray job submit --working-dir . -- python jobs/verify.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["verify", *sys.argv[1:]])
