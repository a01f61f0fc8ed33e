"""The step `upscale`: masks at the size of their photos."""
