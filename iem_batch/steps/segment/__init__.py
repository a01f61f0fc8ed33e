"""The step `segment`: IEM on every image."""
