"""The tasks: what a long-context evaluation asks. Importing it makes bench/lib known as `lib`."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from tasks import (associations, babilong, completion, dialogue, functions, niah, qa, retrieval, variables,  # noqa: E402
                   word_counts)

MODULES = (niah, variables, word_counts, qa, babilong, retrieval, functions, completion, associations, dialogue)
TASKS = {task.name: task for module in MODULES for task in module.TASKS}
FAMILIES = tuple(dict.fromkeys(task.family for task in TASKS.values()))
