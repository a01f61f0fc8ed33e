from tests.steps.conftest import segmented

__all__ = ["segmented"]
