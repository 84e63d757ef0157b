"""TorchServe at its best here: one worker a core, one thread and one picture each, a long queue.

Its front writes several lines of log for each answer, and has more threads and a garbage collector
for more cores than two; without them an answer took 36 ms of processor time instead of 52 on a
machine full of other work.

Needs Java 17 and, in `.engines/torchserve`, `pip install -c constraints.txt torch`, then
`pip install -c constraints.txt -e '.[train]' torchserve torch-model-archiver setuptools psutil`.

    python benchmarks/peers/with_torchserve.py HANDLER     # a file beside this one
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIGURATION = """
inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:0
metrics_address=http://127.0.0.1:0
default_workers_per_model={workers}
job_queue_size=1000
number_of_netty_threads=1
netty_client_threads=1
prefer_direct_buffer=true
vmargs=-XX:+UseSerialGC
disable_token_authorization=true
enable_envvars_config=true
"""
LOGGING = """
<Configuration status="error">
  <Appenders><Console name="console" target="SYSTEM_ERR"><PatternLayout/></Console></Appenders>
  <Loggers><Root level="error"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
"""


def main(folder: Path, handler: str) -> int:
    beside = Path(sys.executable).parent
    (folder / "log4j2.xml").write_text(LOGGING)
    (folder / "config.properties").write_text(
        CONFIGURATION.format(port=os.environ["PORT"], workers=len(os.sched_getaffinity(0)))
    )
    subprocess.run(
        [
            beside / "torch-model-archiver", "--model-name", "line", "--version", "1",
            "--handler", HERE / handler, "--extra-files", HERE / "plain_session.py",
            "--export-path", folder,
        ],
        check=True,
    )  # fmt: skip
    # Its worker processes are found by the name `python`.
    path = f"{beside}:{os.environ['PATH']}"
    server = subprocess.Popen(
        [
            beside / "torchserve", "--foreground", "--ncs", "--disable-token-auth",
            "--ts-config", folder / "config.properties", "--log-config", folder / "log4j2.xml",
            "--model-store", folder, "--models", "line=line.mar",
        ],
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "LOG_LOCATION": str(folder)},
        cwd=folder,
        start_new_session=True,
    )  # fmt: skip

    def stop(*_: object) -> None:
        os.killpg(server.pid, signal.SIGKILL)  # Java, its workers and the script around them

    signal.signal(signal.SIGTERM, stop)
    return server.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary), sys.argv[1]))
