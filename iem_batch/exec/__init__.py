"""Steps over shards: the protocol they share, and doing them so that nothing is lost."""
