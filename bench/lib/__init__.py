"""What the evaluations under bench/ share: texts, windows, the rule for evidence, the engine, files of results."""
