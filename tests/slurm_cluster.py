"""A Slurm cluster of one node, real and small: munge, slurmctld and slurmd on loopback, in a folder of their own.

It knows nothing of a Slurm that may be on the machine: own configuration, key, sockets and ports. Its daemons end with
the process that started them, however it ends.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
N_CORES, MEMORY_MIB = 4, 64_000
"""Of the node, as Slurm believes: jobs wait for their turn, not for the machine."""
START_S = 60
CONFIG = """
ClusterName=tamis
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
KillWait={kill_wait_s}
OverTimeLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cores} RealMemory={memory} State=UNKNOWN
EnforcePartLimits=ALL
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: ``environment`` is what a command needs to find it."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        """Output of one of Slurm's commands."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def tasks(self) -> dict[str, str]:
        """State of every task that Slurm remembers, by ``<job>_<task>``."""
        lines = self.run("squeue", "--states=all", "--noheader", "--array", "--format=%i %T").split("\n")
        return dict(line.split() for line in lines if line)

    def hurry(self) -> None:
        """Let jobs that are back in the queue begin at once; Slurm would have them wait for two minutes."""
        for task, state in self.tasks().items():
            if state == "PENDING":
                _try(self, "scontrol", "update", f"JobId={task}", "StartTime=now")

    def log(self) -> str:
        """The end of what the daemons say."""
        return "\n".join(path.read_text()[-3000:] for path in self.folder.glob("*.log"))


def why_not() -> str:
    """The reason for which no cluster can be started here; empty where one can."""
    if missing := [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]:
        return f"{', '.join(missing)} not installed (Debian: slurm-wlm, munge)"
    return "" if os.getuid() == 0 else "slurmd starts jobs as other users, which only root may"


@contextmanager
def cluster(kill_wait_s: int = 5) -> Iterator[Cluster]:
    """Start a cluster and end it, with its jobs.

    Parameters
    ----------
    kill_wait_s : seconds between a job's SIGTERM and its SIGKILL.
    """
    folder = Path(tempfile.mkdtemp(prefix="tamis-slurm-", dir="/tmp"))  # sockets have short names
    folder.chmod(0o755)  # munge refuses a folder that others may write to
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
    environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _configure(folder, kill_wait_s)
        found = Cluster(folder, environment)
        key, log = folder / "munge.key", folder / "munged.log"
        names = {"socket": "munge.socket", "pid-file": "munged.pid", "seed-file": "munged.seed"}
        options = [f"--{option}={folder / name}" for option, name in names.items()]
        munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--log-file={log}", *options]
        daemons = [stack.enter_context(_daemon(munged, environment, folder))]
        _wait(lambda: (folder / "munge.socket").exists(), found, daemons)
        for name in ("slurmctld", "slurmd"):
            daemons.append(stack.enter_context(_daemon([name, "-D"], environment, folder)))
        _wait(lambda: "idle" in _try(found, "sinfo", "--noheader", "--format=%t"), found, daemons)
        stack.callback(_end_jobs, found)
        yield found


def _configure(folder: Path, kill_wait_s: int) -> None:
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    with socket.socket() as one, socket.socket() as other:  # both at once, or the system gives one port twice
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = {"controller_port": one.getsockname()[1], "node_port": other.getsockname()[1]}
    text = CONFIG.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        n_cores=N_CORES,
        memory=MEMORY_MIB,
        kill_wait_s=kill_wait_s,
        **ports,
    )
    (folder / "slurm.conf").write_text(text)


@contextmanager
def _daemon(
    command: list[str], environment: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{command[0]}.out.log").open("w") as log:
        program = str(shutil.which(command[0], path=PATH))
        process = subprocess.Popen(
            [program, *command[1:]],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """Let the kernel end this process with the one that started it."""
    set_signal_at_parents_death = 1  # of linux/prctl.h
    ctypes.CDLL(None).prctl(set_signal_at_parents_death, signal.SIGTERM)


def _end_jobs(found: Cluster) -> None:
    """Cancel what is left, and wait until its processes are gone."""
    _try(found, "scancel", "--quiet", "--user=root")
    ends = time.monotonic() + 15
    while time.monotonic() < ends and _try(found, "squeue", "--noheader").strip():
        time.sleep(0.2)


def _try(found: Cluster, *command: str) -> str:
    try:
        return found.run(*command)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return ""


def _wait(is_there: Callable[[], bool], found: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    ends = time.monotonic() + START_S
    while not is_there():
        if time.monotonic() > ends or any(daemon.poll() is not None for daemon in daemons):
            raise RuntimeError(f"the cluster did not start in {START_S} s, or a daemon ended:\n{found.log()}")
        time.sleep(0.1)
