"""The step `evaluate`: masks against ground truth, beside baselines."""
