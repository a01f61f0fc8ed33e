"""Fixtures of the steps, which some tests of doing shards use."""

from tests.steps.conftest import segmented

__all__ = ["segmented"]
