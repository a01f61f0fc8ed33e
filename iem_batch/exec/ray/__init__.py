"""Steps on a Ray cluster; only these files and those of training on Ray import Ray."""
