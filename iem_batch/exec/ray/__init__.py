"""The only files that import Ray: the cluster, shards over workers, distributed training."""
