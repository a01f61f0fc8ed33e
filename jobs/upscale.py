"""Entry point: ray job submit --working-dir . -- python jobs/upscale.py RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["upscale", *sys.argv[1:]])
