"""What runs the tasks: scores, method rows, cells, reports, pictures."""
