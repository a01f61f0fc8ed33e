"""One file for each step: plain functions of a shard or a table, without Ray."""
