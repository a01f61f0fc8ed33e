"""Entry point: ray job submit --working-dir . -- python jobs/predict.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
