"""The step `topk`: which masks become labels."""
