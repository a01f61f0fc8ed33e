"""Numbers in sentences."""


def count(number: int, noun: str) -> str:
    """Say how many there are of something: 1 image, 2,000 images."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
