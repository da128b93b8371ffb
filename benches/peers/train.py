#!/usr/bin/env python3
"""Makes the profile that releases are laid out by, from what the server does under load.

Builds a server that counts which ways its code goes, loads it with the scenarios of the side-by-side bench
and then with routes of the panel in both formats, and puts the counts, and the name of the compiler, in
place of the last ones:

    PYTHONPATH=perf benches/peers/train.py

`perf` is where the side-by-side bench is, and what that needs is needed here; besides, the tools of the
compiler itself: rustup component add llvm-tools. It takes a quarter of an hour on two cores.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.request

sys.dont_write_bytecode = True

from bench import common, load  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROFILE = REPOSITORY / ".cargo" / "server.profdata"
COMPILER = REPOSITORY / ".cargo" / "server.rustc"
TARGET = REPOSITORY / "target" / "train"
COUNTS = TARGET / "counts"
BINARY = TARGET / "release" / "tollgate"
# Not those that ask for a moment of memory or of delay.
SCENARIOS = "S0,S1,S2,S3,S4,S5,S6,S8"
SECONDS = 3
UNCOUNTED = {"LLVM_PROFILE_FILE": "/dev/null"}

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
threads = 1
drain_timeout = "1s"
[tls]
certificate = "{cert}"
key = "{key}"
[tenants]
store = "{run}/tollgate.db"
master_key_file = "{run}/master.key"
[access_log]
path = "{run}/access.log"
[admin]
listen = "127.0.0.1:{admin}"
[upstreams.panel]
url = "{panel}"
"""

# Reads as the clients of a panel send them: lists and items, in both formats, some only if they have changed,
# and one in 18 of what is not there. Every ten thousand or so a write in either format, after which what it
# touched is read anew.
ROUTES_LUA = """
local requests, i = {}, 0
function init()
  for line in io.lines("%(clients)s") do
    local token, machine = line:match("(%%S+) (%%S+)")
    local basic = { Host = "%(host)s", Authorization = "Basic " .. token }
    local function add(method, path, more, body)
      local headers = {}
      for name, value in pairs(basic) do headers[name] = value end
      for name, value in pairs(more or {}) do headers[name] = value end
      table.insert(requests, wrk.format(method, path, headers, body))
    end
    for _ = 1, 500 do
      for _, suffix in ipairs({ ".json", ".xml" }) do
        for _, path in ipairs({ "/version", "/virtual_machines", "/profile", "/templates", "/transactions",
                                "/settings/networks", "/virtual_machines/" .. machine }) do
          add("GET", path .. suffix)
        end
      end
      add("GET", "/virtual_machines", { Accept = "application/json" })
      add("GET", "/virtual_machines.json?page=1&per_page=10")
      add("GET", "/virtual_machines.json", { ["If-None-Match"] = '"of another time"' })
      add("GET", "/virtual_machines/999999.json")
    end
    add("PUT", "/virtual_machines/" .. machine .. ".json", { ["Content-Type"] = "application/json" },
        '{"virtual_machine":{"label":"web"}}')
    add("PUT", "/virtual_machines/" .. machine .. ".xml", { ["Content-Type"] = "application/xml" },
        "<virtual_machine><label>web</label></virtual_machine>")
  end
end
function request()
  i = i %% #requests + 1
  return requests[i]
end
function done(summary)
  local e = summary.errors
  io.write(string.format("JSON [%%d,%%d,%%d]\\n", summary.requests, e.status,
                         e.connect + e.read + e.write + e.timeout))
end
"""


def rustc(*arguments):
    return subprocess.run(["rustc", *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def profdata():
    """The tool of the compiler's own that merges counts."""
    host = next(line.split()[1] for line in rustc("-vV").splitlines() if line.startswith("host:"))
    tool = pathlib.Path(rustc("--print", "sysroot").strip(), "lib/rustlib", host, "bin/llvm-profdata")
    if not tool.exists():
        raise SystemExit(f"there is no {tool}: rustup component add llvm-tools")
    return tool


def build():
    # The flags in the form in which a path may have spaces.
    BINARY.unlink(missing_ok=True)
    counting = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": f"-Cprofile-generate={COUNTS}"}
    subprocess.run(["cargo", "build", "--locked", "--release", "--bin", "tollgate", "--target-dir", TARGET],
                   cwd=REPOSITORY, env=counting, check=True)
    if not BINARY.exists():
        raise SystemExit(f"there is no {BINARY}: unset CARGO_BUILD_TARGET, a profile is of this machine's")
    # The programs of the build have counted, too.
    shutil.rmtree(COUNTS, ignore_errors=True)


def scenarios():
    """The side-by-side bench, with Tollgate alone."""
    contestant = f"tollgate={pathlib.Path(__file__).with_name('tollgate.py')}"
    result = TARGET / "scenarios.json"
    result.unlink(missing_ok=True)
    bench = subprocess.Popen([common.HERE / "run", "--contestants", contestant, "--scenarios", SCENARIOS,
                              "--rounds", "1", "--secs", str(SECONDS), "--json", result],
                             env={**os.environ, "TOLLGATE_BIN": str(BINARY)})
    try:
        code = bench.wait()
    except BaseException:
        # Interrupted, it ends what it has started; killed, it does not.
        bench.send_signal(signal.SIGINT)
        bench.wait()
        raise
    if code != 0:
        raise SystemExit(f"the bench ended with {code}")
    said = json.loads(result.read_text())
    wrong = said["skipped"] + [r for r in said["results"] if r["bad"] or r.get("value", "yes") != "yes"]
    seen = {r["scenario"] for r in said["results"]}
    if wrong or seen != set(SCENARIOS.split(",")):
        raise SystemExit(f"the bench did not run as it should: {sorted(seen)}, {wrong}")


def routes():
    """Routes of the panel, which a demo of its own simulates, with the access log as an operator has it."""
    env = common.Env()
    env.prepare()
    env.fresh_run_dir()
    log = env.run / "demo.log"
    demo = common.spawn([BINARY, "demo", "--json"], common.CLIENT_CORE, log, env=UNCOUNTED,
                        stdout=subprocess.PIPE)
    try:
        line = demo.stdout.readline()
        if not line:
            raise SystemExit(f"the demo has ended: {log.read_text()}")
        serve(env, json.loads(line))
    finally:
        common.stop([demo])


def serve(env, panel):
    config, lines = env.run / "tollgate.toml", env.run / "import.jsonl"
    config.write_text(CONFIG.format(port=common.TLS_PORT, admin=common.TLS_PORT + 5, cert=env.cert, key=env.key,
                                    run=env.run, panel=panel["upstream"]))
    lines.write_text("".join(json.dumps({
        "tenant": {"name": tenant["name"]},
        "credential": {"name": tenant["name"], "upstream": "panel", "email": tenant["upstream_login"],
                       "key": tenant["upstream_key"]},
        "token": tenant["upstream_key"],
    }) + "\n" for tenant in panel["tenants"]))
    for arguments in (["master-key", env.run / "master.key"], ["--offline", "import", lines]):
        subprocess.run([BINARY, "--config", config, *arguments], env={**os.environ, **UNCOUNTED}, check=True)
    (env.run / "clients").write_text("".join(client(panel["upstream"], t) for t in panel["tenants"]))
    script = env.run / "routes.lua"
    script.write_text(ROUTES_LUA % {"clients": env.run / "clients", "host": common.HOST})
    server = common.spawn([BINARY, "serve", "--config", config], common.SERVER_CORE, env.run / "out.log")
    try:
        common.wait_port(common.TLS_PORT, [server])
        said = load.run(["wrk", "-t1", "-c50", f"-d{2 * SECONDS}s", "-s", script,
                         f"https://127.0.0.1:{common.TLS_PORT}"], env, timeout=60)
    finally:
        common.stop([server])
    if server.returncode != 0:
        raise SystemExit(f"the server ended with {server.returncode}, and its counts are lost")
    requests, refused, failed = json.loads(said.split("JSON ")[1])
    print(f"{requests} requests of routes, {refused} of what is not there")
    if requests < 10_000 or refused > requests / 10 or failed:
        raise SystemExit(f"the routes were not answered as they should be: {said}")


def client(panel, tenant):
    """A tenant's credentials as a client sends them, and the number of a machine that it may see."""
    basic = base64.b64encode(f"{tenant['upstream_login']}:{tenant['upstream_key']}".encode()).decode()
    request = urllib.request.Request(panel + "/virtual_machines.json", headers={"Authorization": f"Basic {basic}"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        machines = json.load(reply)
    return f"{basic} {machines[0]['virtual_machine']['id']}\n"


def main():
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    tool = profdata()
    build()
    scenarios()
    routes()
    merged = TARGET / PROFILE.name
    # Sparse: of what was never run nothing is said, so that it is not taken for cold.
    subprocess.run([tool, "merge", "--sparse", "-o", merged, *COUNTS.glob("*.profraw")], check=True)
    merged.replace(PROFILE)
    COMPILER.write_text(rustc("-vV"))
    print(f"{PROFILE}: {PROFILE.stat().st_size} bytes; cargo clean --release, and the next release has it")


if __name__ == "__main__":
    main()
