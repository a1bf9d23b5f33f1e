"""Ends a command and all that it has started."""
import os
import signal
import subprocess

PATIENCE_S = 5


def stop(process):
    """Ends the process group that the process (started with start_new_session) leads: asked first, then not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(PATIENCE_S)
            return
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
