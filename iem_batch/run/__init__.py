"""A run folder: its layout, plan, tables and marks, and reading the images of the plan."""
