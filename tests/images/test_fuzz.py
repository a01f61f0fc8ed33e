"""A seeded slice of benchmarks/fuzz.py: damaged photographs through the real command."""

import random
from pathlib import Path

from benchmarks.damage import DAMAGES, base_files
from benchmarks.fuzz import fuzz

COUNT = 300


def test_damaged_files_are_decoded_as_pillow_would_or_named(photos: Path, tmp_path: Path) -> None:
    """Catches a crash, a hang, a lost neighbour, an error of NaN, and memory without bound."""
    rng = random.Random(7)
    outcome = fuzz(tmp_path, base_files(photos, 21, rng), COUNT, rng)
    assert outcome.faults == []
    assert outcome.kinds.keys() == DAMAGES.keys()
    assert outcome.decoded + outcome.rejected == COUNT + 21
    assert outcome.compared > 60
    assert outcome.rejected > 100
    # A bomb that was decoded would take 900 MB for its pixels alone.
    assert outcome.peak_mb < 900
