"""Entry point: ray job submit --working-dir . -- python jobs/doctor.py --run RUN."""

import sys

from iem_batch.cli import main

if __name__ == "__main__":
    main(["doctor", *sys.argv[1:]])
