"""The GPU of this machine: what it is, and how much of its memory is in use while a command runs. Standard library only.

It asks NVML if the library is there (quick enough for a sample every 20 ms), else nvidia-smi.
"""
import ctypes
import glob
import os
import platform
import shutil
import subprocess
import sys
import threading
import time

FIELDS = ("name", "memory.total", "compute_cap", "driver_version", "clocks.max.sm", "power.limit", "uuid")
MIB = 1 << 20
NOT_AVAILABLE = 2 ** 64 - 1  # NVML's word for a figure that it does not give


class NoGpu(Exception):
    """What is missing; the text is for the user."""


def smi(*arguments, timeout_s=30):
    done = subprocess.run(["nvidia-smi", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout_s)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise NoGpu(f"nvidia-smi fails: {said.splitlines()[-1] if said else done.returncode}")
    return done.stdout.decode(errors="replace")


def smi_id(index):
    """CUDA device `index` as nvidia-smi and NVML know it: they do not look at CUDA_VISIBLE_DEVICES."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not visible:
        return str(index)
    names = [name.strip() for name in visible.split(",")]
    if index >= len(names):
        raise NoGpu(f"CUDA_VISIBLE_DEVICES={visible} shows no device {index}")
    return names[index]


def describe(index):
    """The GPU as a dict, or NoGpu."""
    if shutil.which("nvidia-smi") is None:
        raise NoGpu("no NVIDIA GPU is to be seen: the command nvidia-smi, which comes with the driver, is not there")
    lines = smi("-i", smi_id(index), f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits").splitlines()
    if not lines:
        raise NoGpu(f"nvidia-smi shows no GPU {index}")
    values = [value.strip() for value in lines[0].split(",")]
    gpu = dict(zip((f.replace(".", "_") for f in FIELDS), values))
    gpu.pop("uuid", None)
    return gpu


def cublas_folders():
    """Folders that may hold libcublasLt: the toolkit's and those of PyTorch's packages."""
    packages = [p for p in sys.path if p.endswith("-packages")]
    patterns = ["/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib"]
    patterns += [f"{p}/nvidia/*/lib" for p in packages] + [f"{p}/torch/lib" for p in packages]
    found = []
    for pattern in patterns:
        for folder in sorted(glob.glob(pattern), reverse=True):
            real = os.path.realpath(folder)
            if real not in found and glob.glob(f"{real}/libcublasLt.so.*"):
                found.append(real)
    return found


def host():
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    cpu = ""
    try:
        with open("/proc/cpuinfo") as info:
            cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    except OSError:
        pass
    return {"system": platform.system(), "machine": platform.machine(), "libc": libc, "cpu": cpu,
            "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
            "cublasLt": bool(cublas_folders())}


class Nvml:
    """The three questions we ask NVML; raises OSError or AttributeError if it is not there."""

    class Memory(ctypes.Structure):
        _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]

    class Process(ctypes.Structure):
        _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint),
                    ("compute_instance", ctypes.c_uint)]

    def __init__(self, device_id):
        self.lib = ctypes.CDLL("libnvidia-ml.so.1")
        self.must(self.lib.nvmlInit_v2())
        self.device = ctypes.c_void_p()
        if device_id.isdigit():
            self.must(self.lib.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(device_id)), ctypes.byref(self.device)))
        else:
            self.must(self.lib.nvmlDeviceGetHandleByUUID(device_id.encode(), ctypes.byref(self.device)))
        self.processes_of = getattr(self.lib, "nvmlDeviceGetComputeRunningProcesses_v3")

    @staticmethod
    def must(code):
        if code != 0:
            raise OSError(f"NVML error {code}")

    def read(self):
        """(bytes in use on the device, {pid: bytes})"""
        memory = self.Memory()
        self.must(self.lib.nvmlDeviceGetMemoryInfo(self.device, ctypes.byref(memory)))
        n, processes = ctypes.c_uint(64), (self.Process * 64)()
        if self.processes_of(self.device, ctypes.byref(n), processes) != 0:
            return memory.used, {}
        return memory.used, {p.pid: p.used for p in processes[:n.value] if p.used != NOT_AVAILABLE}


class Smi:
    """The same by nvidia-smi, a process a question."""

    def __init__(self, device_id):
        self.device_id = device_id

    def read(self):
        used = smi("-i", self.device_id, "--query-gpu=memory.used", "--format=csv,noheader,nounits")
        apps = smi("-i", self.device_id, "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
        processes = {}
        for line in apps.splitlines():
            pid, _, mib = line.partition(",")
            if pid.strip().isdigit() and mib.strip().isdigit():
                processes[int(pid)] = int(mib) * MIB
        return int(used.split()[0]) * MIB, processes


def memory_reader(index, nvml=True):
    if nvml:
        try:
            return Nvml(smi_id(index)), "NVML"
        except (OSError, AttributeError):
            pass
    return Smi(smi_id(index)), "nvidia-smi"


class MemorySampler:
    """Peaks of the GPU's memory while a process runs: begin before it starts, watch(pid), stop().

    `process` is what the driver says of the process, its context included (None where it says nothing, as in some
    containers); `device` is by how much the device's use grew, which counts other programs' memory, too.
    """

    def __init__(self, reader, interval_s=0.02):
        self.reader, self.interval_s = reader, interval_s
        self.pid = None
        self.process, self.device, self.n_samples, self.problem = None, 0, 0, None
        self.done = threading.Event()
        self.used_before, self.before = 0, {}
        self.thread = None

    def begin(self):
        try:
            self.used_before, self.before = self.reader.read()
        except (OSError, ValueError, IndexError, NoGpu, subprocess.TimeoutExpired) as error:
            self.problem = str(error)

    def watch(self, pid):
        self.pid = pid
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        while not self.done.is_set():
            begun = time.monotonic()
            try:
                self.take(*self.reader.read())
            except (OSError, ValueError, IndexError, NoGpu, subprocess.TimeoutExpired) as error:
                self.problem = str(error)
            self.done.wait(max(self.interval_s - (time.monotonic() - begun), 0.001))

    def take(self, used, processes):
        self.n_samples += 1
        self.device = max(self.device, used - self.used_before)
        mine = processes.get(self.pid)
        new = [bytes_ for pid, bytes_ in processes.items() if pid not in self.before]
        if mine is None and len(new) == 1:  # pids of another namespace: the one that was not there before
            mine = new[0]
        if mine is not None:
            self.process = max(self.process or 0, mine)

    def stop(self):
        self.done.set()
        if self.thread is not None:
            self.thread.join(30)
        result = {"process_bytes": self.process, "device_growth_bytes": self.device, "n_samples": self.n_samples}
        if self.problem:
            result["problem"] = self.problem
        return result
