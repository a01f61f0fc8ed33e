"""The step `convert`: the images of any source in shards."""
