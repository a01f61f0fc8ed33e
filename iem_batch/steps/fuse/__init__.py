"""The step `fuse`: the one mask of each photo, of the masks that its first masks led to."""
