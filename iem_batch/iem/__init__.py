"""Inpainting Error Maximization (IEM): the algorithm, without storage and without Ray.

Needs numpy; the backends `reference` and `torch` need torch as well.
"""
