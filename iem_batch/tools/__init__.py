"""Looking after a run: what is done, what is wrong with it, what may be tried again."""
