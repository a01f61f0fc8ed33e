"""Unsupervised segmentation of huge image collections by Inpainting Error Maximization."""

__version__ = "0.1.0"
