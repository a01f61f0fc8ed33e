"""Entry point: ray job submit --working-dir . -- python jobs/convert.py SOURCE OUT --to parquet."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["convert", *sys.argv[1:]])
