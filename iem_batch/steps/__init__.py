"""The steps, a package each, and what they share."""
