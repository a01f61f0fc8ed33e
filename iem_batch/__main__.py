"""`python -m iem_batch`, the same as `iem-batch`."""

from iem_batch.cli import main

if __name__ == "__main__":
    main()
