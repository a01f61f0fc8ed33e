"""`python -m iem_batch`, the same as `iem-batch`."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line; Ctrl-C leaves a line, also before it is imported and after it ended."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from iem_batch import cli

    cli.main()


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"iem-batch: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
