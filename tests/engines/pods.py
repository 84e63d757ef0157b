"""Containers without an engine: what Docker or a kubelet gives one, made with `ip` and `unshare`.

A root file system (an overlay over an image's files, or over this machine's), an address and the
names of its neighbours, mounts, a user, a memory limit, a root that may be read-only. Needs root.
"""

from __future__ import annotations

import itertools
import os
import random
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

CONTAINERS = Path(__file__).with_name("containers")
ROOT = Path(__file__).parents[2]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_counter = itertools.count()


def containers(*arguments: str, timeout: float = 3600) -> str:
    """Call the script that builds and runs images; its output."""
    done = subprocess.run(
        [CONTAINERS, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@cache
def built(name: str, *options: str) -> str:
    """Build deploy/docker/NAME.Dockerfile once a session, as another image if one is named."""
    need_root_and_builders()
    containers("build", name, *options)
    return options[0] if options else name


def need_root_and_builders() -> None:
    """Skip where images cannot be built; fail where only the installer was not run."""
    if os.geteuid() != 0:
        pytest.skip("building and running images without a registry needs root")
    for program in ("buildah", "debootstrap", "ip", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed; run tests/engines/install")


@dataclass(frozen=True)
class Files:
    """What a container is made from.

    Attributes:
        root: whose files it sees; `/` for this machine's.
        variables: that the image sets.
        entrypoint: what the command is appended to.
        user: number of the user and group.
        folder: where it starts.
    """

    root: Path = Path("/")
    variables: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    user: int = 0
    folder: str = "/"

    @classmethod
    def of_this_machine(
        cls, *programs: Path, entrypoint: Sequence[str] = (), **variables: str
    ) -> Files:
        """This machine's own files, with folders of programs before all others."""
        path = ":".join([*map(str, programs), _PATH])
        return cls(variables={"PATH": path, **variables}, entrypoint=tuple(entrypoint))


@contextmanager
def image_files(name: str) -> Iterator[Files]:
    """The files and the configuration of an image that was built as nhan-NAME."""
    container, root, folder, user, *told = containers("mount", name).splitlines()
    variables = dict(one.split("=", 1) for one in told)
    entrypoint = variables.pop("ENTRYPOINT")
    try:
        yield Files(Path(root), variables, (entrypoint,), int(user), folder)
    finally:
        containers("unmount", container)


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine inside a container, or a file system in memory."""

    target: str
    source: Path | None = None
    read_only: bool = False
    options: str = ""

    def script(self, root: str) -> str:
        where = shlex.quote(f"{root}{self.target}")
        if self.source is None:
            options = f"-o {self.options} " if self.options else ""
            return f"mkdir -p {where}; mount -t tmpfs {options}tmpfs {where}\n"
        source = shlex.quote(str(self.source))
        make = (
            f"mkdir -p {where}"
            if self.source.is_dir()
            else f"mkdir -p $(dirname {where}); touch {where}"
        )
        made = f"{make}; mount --bind {source} {where}\n"
        return made + (f"mount -o remount,bind,ro {where}\n" if self.read_only else "")


@dataclass
class Container:
    """A running container."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    log: Path
    files: Files
    variables: Mapping[str, str]
    group: Path | None

    def run(self, *command: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """A further command inside it, as `docker exec` runs one."""
        user = str(self.files.user)
        enter = ["nsenter", "--target", str(self.process.pid), "--mount", "--net", "--root"]
        enter += [f"--wd=/proc/{self.process.pid}/cwd", f"--setgid={user}", f"--setuid={user}"]
        variables = [f"{name}={value}" for name, value in self.variables.items()]
        return subprocess.run(
            [*enter, "env", "-i", *variables, *command],
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def logged(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def peak_bytes(self) -> int:
        """The most memory it had, files that it read or wrote included; 0 if nobody counted."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if self.group is not None and (self.group / name).exists():
                return int((self.group / name).read_text())
        return 0

    def stop(self, grace_s: float) -> int | None:
        """SIGTERM, and SIGKILL to what is left after a while; the exit code, None if killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)


class Network:
    """A network of containers that know each other by name.

    Args:
        names: of all that will ever be started in it.
        folder: for their files.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self._tag = f"{os.getpid() % 0xFFFF:x}{next(_counter)}"
        first = f"10.{random.randrange(64, 250)}.{random.randrange(250)}"
        self.addresses = {name: f"{first}.{number}" for number, name in enumerate(names, start=2)}
        self.gateway = f"{first}.1"
        self._folder = folder
        self._started: list[Container] = []

    def __enter__(self) -> Network:
        bridge = f"nb{self._tag}"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{self.gateway}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, (name, address) in enumerate(self.addresses.items()):
            space, cable = self._space(name), f"nv{self._tag}{number}"
            _ip("netns", "add", space)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", bridge, "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for container in reversed(self._started):
            container.stop(10)
            if container.group is not None:
                _remove_group(container.group)
        for name in self.addresses:
            _ip("netns", "delete", self._space(name))
        _ip("link", "delete", f"nb{self._tag}")

    def start(
        self,
        name: str,
        files: Files,
        command: Sequence[str],
        *,
        variables: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
        read_only: bool = False,
        memory: int = 0,
    ) -> Container:
        """Start a container.

        Args:
            name: one of the network's.
            files: what it is made from.
            command: appended to its entry point.
            variables: over those of its image.
            mounts: what it sees besides.
            read_only: nothing outside the mounts can be written.
            memory: bytes it may have, where this machine can limit it; 0 for no limit.
        """
        own = self._folder / f"{name}-{len(self._started)}"
        for part in ("upper/etc", "work", "root"):
            (own / part).mkdir(parents=True)
        names = "".join(f"{address} {who}\n" for who, address in self.addresses.items())
        (own / "upper/etc/hosts").write_text(f"127.0.0.1 localhost\n{names}", encoding="utf-8")
        if files.root == Path("/"):
            mounts = [Mount("/tmp", options="mode=1777"), Mount(str(ROOT), ROOT), *mounts]
        group = _make_group(f"nhan-{self._tag}-{name}-{len(self._started)}", memory)
        told = {"PATH": _PATH, "HOME": _home(files), **files.variables, **(variables or {})}
        script = _script(own, files, [*files.entrypoint, *command], told, mounts, read_only)
        log = own / "log"
        enter = ["ip", "netns", "exec", self._space(name), "unshare", "--mount", "sh", "-c", script]
        # Joined out here: inside a network namespace the groups' folder is not mounted.
        join = "" if group is None else f"echo $$ >{group}/cgroup.procs; "
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", f"{join}exec {shlex.join(enter)}"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        made = Container(name, self.addresses[name], process, log, files, told, group)
        self._started.append(made)
        return made

    def _space(self, name: str) -> str:
        return f"nhan{self._tag}-{name}"


def _script(
    own: Path,
    files: Files,
    command: Sequence[str],
    variables: Mapping[str, str],
    mounts: Sequence[Mount],
    read_only: bool,
) -> str:
    """What makes the container's view of the machine and becomes its first process."""
    root = str(own / "root")
    layers = f"lowerdir={files.root},upperdir={own}/upper,workdir={own}/work"
    lines = ["set -eu\n", "mount --make-rprivate /\n"]
    lines.append(f"mount -t overlay overlay -o {shlex.quote(layers)} {root}\n")
    lines += [f"mkdir -p {root}/{part}; mount --rbind /{part} {root}/{part}\n" for part in _KERNEL]
    lines += [mount.script(root) for mount in mounts]
    if read_only:
        lines.append(f"mount -o remount,ro {root}\n")
    become = ["unshare", f"--root={root}", f"--wd={files.folder}", "--", "setpriv"]
    become += [f"--reuid={files.user}", f"--regid={files.user}", "--clear-groups", "--no-new-privs"]
    told = [f"{name}={value}" for name, value in variables.items()]
    return "".join(lines) + "exec " + shlex.join([*become, "env", "-i", *told, *command])


def _home(files: Files) -> str:
    for line in (files.root / "etc/passwd").read_text(encoding="utf-8").splitlines():
        _, _, number, _, _, home, _ = line.split(":")
        if int(number) == files.user:
            return home
    return "/"


_KERNEL = ("proc", "sys", "dev")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _make_group(name: str, memory: int) -> Path | None:
    """A control group with a memory limit; None where this machine cannot make one."""
    for parent, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = parent / name
        try:
            group.mkdir()
            if memory:
                (group / limit).write_text(str(memory))
            return group
        except OSError:
            shutil.rmtree(group, ignore_errors=True)
    return None


def _remove_group(group: Path) -> None:
    for _ in range(50):  # the kernel takes a moment to see its last process gone
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.1)
