"""The step `apply`: masks of new photos by a network that is trained."""
