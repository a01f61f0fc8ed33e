"""Pictures of a run: one page about all of it, or one image."""
