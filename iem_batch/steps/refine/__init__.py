"""The step `refine`: IEM from SegNet's masks."""
