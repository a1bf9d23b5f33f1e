"""Ends a command and all processes it has started, except those that left its process group."""
import os
import signal
import subprocess

PATIENCE_S = 5


def stop(process):
    """Ends the process group that the process leads (it was started with start_new_session): SIGTERM first, then SIGKILL."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_S)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # those it has left behind
    except ProcessLookupError:
        pass
    process.wait()
