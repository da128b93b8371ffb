"""Tollgate as a contestant of the side-by-side bench: its whole work, one thread.

The access log is off, as those of all contestants are; TOLLGATE_BENCH_LOG=1 turns it on.

Build it first (`cargo build --release`), or name the binary in TOLLGATE_BIN. The tokens that the bench
gives are adopted by `tollgate import`, as an operator would do it with the keys of existing clients.
"""

import base64
import json
import os
import pathlib
import subprocess

from bench.common import SERVER_CORE, TLS_PORT, UPSTREAM_PORT, spawn

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
BINARY = os.environ.get("TOLLGATE_BIN", str(TARGET / "release" / "tollgate"))
TENANTS = int(os.environ.get("TOLLGATE_BENCH_TENANTS", "0"))  # 0: all that the bench has
LOG = os.environ.get("TOLLGATE_BENCH_LOG", "") == "1"
COMMAND = BINARY

NOTES = {
    "auth": "HMAC-SHA-256 of the token, looked up in a snapshot of the store",
    "cache": "moka, key = credential + target + format, a stamp of epochs compared on every hit",
    "limit": "GCRA in the tenant's object, RateLimit headers on every reply; on in every mode",
    "collapse": "single flight by key and stamp",
    "log": "access log off, as for the others; the latest decisions are remembered for `explain`",
    "S3": "replies are not searched for secrets, as an operator may say of files; fills are",
    "S6": "a write touches its families for its own account",
}
CANNOT = {}

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
threads = 1
max_connections_per_address = 20000
drain_timeout = "1s"
[tls]
certificate = "{cert}"
key = "{key}"
[tenants]
store = "{run}/tollgate.db"
master_key_file = "{run}/master.key"
[cache]
capacity = "4GiB"
static_lifetime = "1h"
[access_log]
enabled = {log}
path = "{run}/access.log"
[admin]
listen = "127.0.0.1:{admin}"
[upstreams.bench]
url = "http://127.0.0.1:{upstream}"
max_connections = 512
max_idle = 512
max_waiting = 4096
[[routes]]
pattern = "/v1/:name<word>"
class = "static"
families = ["files"]
private = true
as_is = true
[[routes]]
pattern = "/slow/v1/:name<word>"
class = "static"
families = ["files"]
private = true
as_is = true
[[routes]]
pattern = "/nocache/v1/:name<word>"
class = "never"
families = ["files"]
private = true
as_is = true
masked = false
"""


def line(row, rate):
    tenant, token, basic = row
    login, password = base64.b64decode(basic.removeprefix("Basic ")).decode().split(":", 1)
    burst = 1 if rate == 1 else max(1000, rate // 10)
    quota = {f"{kind}_{unit}": n for kind in ("reads", "writes")
             for unit, n in (("per_second", rate), ("burst", burst))}
    return json.dumps({
        "tenant": {"name": tenant, **quota},
        "credential": {"name": tenant, "upstream": "bench", "login": login, "password": password,
                       "reach": "own", "account": tenant},
        "token": token,
    })


def start(env, mode):
    # "plain" is limited too, at a rate that one tenant alone (S2) does not reach.
    rate = {"plain": 1_000_000, "limit-high": 10_000, "limit-low": 1}[mode]
    config = env.run / "tollgate.toml"
    config.write_text(CONFIG.format(port=TLS_PORT, admin=TLS_PORT + 5, upstream=UPSTREAM_PORT,
                                    cert=env.cert, key=env.key, run=env.run,
                                    log=str(LOG).lower()))
    rows = env.token_rows()[:TENANTS or None]
    (env.run / "import.jsonl").write_text("".join(line(row, rate) + "\n" for row in rows))

    def run(*arguments):
        subprocess.run([BINARY, "--config", config, *arguments], check=True, capture_output=True)

    run("master-key", env.run / "master.key")
    run("--offline", "import", env.run / "import.jsonl")
    return [spawn([BINARY, "serve", "--config", config], SERVER_CORE, env.run / "out.log")]
