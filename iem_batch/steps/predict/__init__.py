"""The step `predict`: SegNet's masks."""
