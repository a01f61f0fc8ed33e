"""The step `export`: the selected pairs as a corpus that other tools open."""
