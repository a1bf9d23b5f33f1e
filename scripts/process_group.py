"""Ends a command and all that it has started, but for what has left its process group."""
import os
import signal
import subprocess

PATIENCE_S = 5


def stop(process):
    """Ends the process group that the process (started with start_new_session) leads: asked first, then not."""
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
