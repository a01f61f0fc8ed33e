"""Masks of images that lie in files: drawn by people, or made by any program."""
