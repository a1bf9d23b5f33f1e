"""What the parts of a GPU run share: where the programs are, running one under a time limit, and a step's outcome."""
import os
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import gpu_machine
from process_group import stop

ROOT = Path(__file__).resolve().parent.parent


class StepFailed(Exception):
    """What went wrong; the text is for the user."""


class StepSkipped(Exception):
    """Why it cannot be run here."""


@dataclass
class Step:
    """One measurement or check. run(place, limit_s) returns a dict of what it found, or raises."""
    name: str
    run: object
    limit_s: float
    parameters: dict = field(default_factory=dict)


@dataclass
class Part:
    name: str
    about: str
    limit_s: float
    steps: object  # steps(place) -> [Step]


@dataclass
class Place:
    """The folders and settings of a run."""
    programs: Path  # reform, test_kernels, ...
    tree: Path  # with tests/golden, models, texts, bench/gpu
    work: Path  # stores and logs; may be deleted
    device: int = 0
    nvml: bool = True
    scale: float = 1.0  # of the texts' lengths; below 1 bars are not judged
    part_folders: tuple = ()  # may hold parts of models, as may the tree's models/
    command: str = ""  # of the step that runs, for its record

    def program(self, name):
        path = self.programs / name
        if not path.is_file():
            raise StepSkipped(f"{shown(path)} is not there")
        return path

    @property
    def device_name(self):
        return f"cuda:{self.device}"

    def environment(self, cublas):
        """Ours, with the order of devices that nvidia-smi has and, if wanted, the folders in which a cuBLASLt lies."""
        env = dict(os.environ, CUDA_DEVICE_ORDER="PCI_BUS_ID", REFORM_TEST_TREE=str(self.tree), REFORM_NEEDS_GPU="1",
                   XDG_CACHE_HOME=str(self.work / "cache"))
        if cublas:
            folders = [f for f in [env.get("LD_LIBRARY_PATH", ""), *gpu_machine.cublas_folders()] if f]
            env["LD_LIBRARY_PATH"] = ":".join(folders)
        return env

    def call(self, arguments, limit_s, log_name, sampler=None, cublas=True):
        """(exit status, standard output as text, seconds); its standard error goes to the log. StepFailed past the limit."""
        arguments = [shown(a) for a in arguments]
        self.command = shlex.join(arguments)
        logs = self.work / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log_name = log_name.replace("/", "-")
        out_path, err_path = logs / f"{log_name}.out", logs / f"{log_name}.err"
        if sampler is not None:
            sampler.begin()
        begun = time.monotonic()
        with open(out_path, "wb") as out, open(err_path, "wb") as err:
            try:
                process = subprocess.Popen(arguments, cwd=ROOT, env=self.environment(cublas), stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=err, start_new_session=True)
            except OSError as error:
                raise StepFailed(f"{arguments[0]} cannot be run: {error.strerror}") from error
            if sampler is not None:
                sampler.watch(process.pid)
            try:
                status = process.wait(max(limit_s, 0.1))
            except subprocess.TimeoutExpired:
                stop(process)
                raise StepFailed(f"not done after {limit_s:.0f} s, stopped; {last_line(err_path)}") from None
            except BaseException:
                stop(process)
                raise
        return status, out_path.read_text(errors="replace"), time.monotonic() - begun

    def error_of(self, log_name):
        return last_line(self.work / "logs" / f"{log_name.replace('/', '-')}.err")


def shown(path):
    """A path as it is written from the tree's root, so that a command can be repeated in any tree."""
    if isinstance(path, Path):
        try:
            return str(path.absolute().relative_to(ROOT))
        except ValueError:
            return str(path)
    return str(path)


def last_line(path):
    try:
        lines = [line for line in path.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip()[:500] if lines else ""


def run_step(place, step, deadline, say):
    """The step's record; `state` is passed, failed, skipped (cannot be run here) or not reached (no time was left)."""
    left = deadline - time.monotonic()
    record = {"name": step.name, "state": "not reached", **step.parameters}
    if left <= 1:
        say(f"  {step.name}: not reached, the part's time is over")
        return record
    place.command = ""
    begun = time.monotonic()
    try:
        record.update(step.run(place, min(step.limit_s, left)))
        record["state"] = record.get("state") if record.get("state") in ("skipped", "failed") else "passed"
    except StepSkipped as why:
        record.update(state="skipped", note=str(why))
    except StepFailed as why:
        record.update(state="failed", note=str(why))
    except Exception as error:  # a bug in a step must not take the others' results with it
        record.update(state="failed", note=f"{type(error).__name__}: {error}")
    record["seconds"] = round(time.monotonic() - begun, 2)
    if place.command and "command" not in record:
        record["command"] = place.command
    say(f"  {step.name}: {record['state']} in {record['seconds']:.1f} s {record.get('note', '')}".rstrip())
    return record


def run_part(place, part, say, limit_s=None):
    limit = part.limit_s if limit_s is None else min(part.limit_s, limit_s)
    say(f"== {part.name}: {part.about} (at most {limit / 60:.1f} minutes)")
    begun = time.monotonic()
    record = {"about": part.about, "limit_s": part.limit_s, "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    record["steps"] = [run_step(place, step, begun + limit, say) for step in part.steps(place)]
    record["seconds"] = round(time.monotonic() - begun, 1)
    return record
