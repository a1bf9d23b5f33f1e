"""What evaluate.py is made of: test sets, baselines, the engine's rows, the report."""
