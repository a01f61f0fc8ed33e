"""Bytes to rows and back: storage, sources, decoding, the plan and the schemas of a run folder."""
