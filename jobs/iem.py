"""Entry point: ray job submit --working-dir . -- python jobs/iem.py segment SOURCE RUN."""

from iem_batch.__main__ import main

if __name__ == "__main__":
    main()
