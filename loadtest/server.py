"""A server of our own for a load test: free loopback ports, a folder that is removed, stopped as an operator stops it."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SECRET = "a-secret-for-load-tests"
# Fixed, so that a recorded run can be repeated byte for byte.
WEBHOOKS = {
    "kept": "00000000-0000-4000-8000-000000000001",
    "guarded": "00000000-0000-4000-8000-000000000002",
    "small": "00000000-0000-4000-8000-000000000003",
    "sink": "00000000-0000-4000-8000-000000000004",
    "sink-guarded": "00000000-0000-4000-8000-000000000005",
}
CONFIG = """\
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{admin_port}"
data_dir = {data_dir}

[[webhook]]
name = "kept"
id = "{kept}"
[[webhook.trigger]]
id = "kept-to-file"
nodes = [{{ type = "file", path = {events} }}]

[[webhook]]
name = "guarded"
id = "{guarded}"
secret = "{secret}"
allowed_origins = ["https://allowed.example"]
[[webhook.trigger]]
id = "guarded-to-file"
nodes = [{{ type = "file", path = {events_guarded} }}]

[[webhook]]
name = "small"
id = "{small}"
body_bytes_max = 4096
[[webhook.trigger]]
id = "small-to-nowhere"
nodes = [{{ type = "discard" }}]

[[webhook]]
name = "sink"
id = "{sink}"
[[webhook.trigger]]
id = "sink-to-nowhere"
nodes = [{{ type = "discard" }}]

[[webhook]]
name = "sink-guarded"
id = "{sink_guarded}"
secret = "{secret}"
[[webhook.trigger]]
id = "sink-guarded-to-nowhere"
nodes = [{{ type = "discard" }}]
"""


def free_ports(count):
    """Ports nobody listens on right now, all different."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def wait_until_it_listens(process, port, seconds=15):
    """Returns once `port` takes connections; says what the process said if it ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended at once with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"the server did not listen on port {port} within {seconds} s")


class Server:
    """inrush on free ports. Use it in a `with`; `stop` ends it and says how."""

    def __init__(self, binary, arguments=(), cpus=None, preexec=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="inrush-load-"))
        self.port, self.admin_port = free_ports(2)
        self.events = [self.folder / "kept.ndjson", self.folder / "guarded.ndjson"]
        config = self.folder / "inrush.toml"
        config.write_text(CONFIG.format(
            port=self.port, admin_port=self.admin_port, secret=SECRET, data_dir=json.dumps(str(self.folder / "data")),
            events=json.dumps(str(self.events[0])), events_guarded=json.dumps(str(self.events[1])),
            **{name.replace("-", "_"): id for name, id in WEBHOOKS.items()}))
        config.chmod(0o600)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INRUSH_") or name == "INRUSH_DRIVER"}
        pin = ["taskset", "--cpu-list", cpus] if cpus else []
        self.log = open(self.folder / "stderr.log", "w")
        # taskset becomes the server (exec), so that the process id is the server's.
        self.process = subprocess.Popen(
            [*pin, str(pathlib.Path(binary).resolve()), "--config", str(config), *arguments], cwd=self.folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log, preexec_fn=preexec)
        self.pid = self.process.pid
        try:
            wait_until_it_listens(self.process, self.port)
        except SystemExit:
            print(self.said())
            self.__exit__()
            raise

    def environment(self):
        """What `lib.js` wants to know."""
        ids = {f"{name.replace('-', '_').upper()}_ID": id for name, id in WEBHOOKS.items()}
        return {"BASE": f"http://127.0.0.1:{self.port}", "SECRET": SECRET, **ids}

    def said(self):
        """Its standard error so far."""
        return (self.folder / "stderr.log").read_text(errors="replace")

    def stop(self, seconds=60):
        """Ends it with SIGTERM. None, or what was wrong with its end."""
        if self.process.poll() is not None:
            return f"the server ended by itself with {self.process.returncode}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"the server still ran {seconds} s after SIGTERM"
        return f"the server ended with {code} on SIGTERM" if code else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
