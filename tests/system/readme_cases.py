"""The curl commands of the documents, run as they are written: they succeed and print what is shown under them.

Only what differs from place to place is replaced: the port, the token, the name of the database.
"""

import re
import subprocess

from bench import DATABASE
from lib.deadline import eventually
from lib.processes import REPOSITORY
from lib.proxy import merge

TOKEN = "operate-token-0123456789abcdef"
DOCUMENTS = ("README.md", "docs/OPERATIONS.md")
BLOCK = re.compile(r"^```\n(.*?)^```\n(?:^```\n(.*?)^```\n)?", re.M | re.S)
COMMAND = re.compile(r"^(?:\$ |\\! )?(curl .*)$", re.M)
KEY = re.compile(r'"(\w+)":')


def _examples(name):
    """(command, what is shown of its output) of each curl command, in order."""
    for block in BLOCK.finditer((REPOSITORY / name).read_text()):
        text, below = block.group(1), block.group(2) or ""
        found = list(COMMAND.finditer(text))
        for at, each in enumerate(found):
            end = found[at + 1].start() if at + 1 < len(found) else len(text)
            shown = text[each.end():end]
            yield each.group(1), shown if shown.strip() else below


def _run(proxy, command):
    command = command.replace(":6433", f":{proxy.admin_port}").replace("pool=demo", f"pool={DATABASE}")
    stream = "/api/v1/events" in command
    if stream:
        command = command.replace("curl ", "curl --max-time 2 ", 1)
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=30,
                          env={"PATH": "/usr/bin:/bin", "TOKEN": TOKEN})
    assert done.returncode == (28 if stream else 0), (command, done)
    return done.stdout


def curl_examples(bench):
    ran = 0
    for name in DOCUMENTS:
        for command, shown in _examples(name):
            with bench.proxy(admin={"operate_token": TOKEN}) as proxy, proxy.connect(DATABASE) as client:
                client.query("create temp table of_mine (a int)")    # a pinned session, which one of them shows
                if "switchover" in command and "-X POST" not in command:
                    subprocess.run(["curl", "-s", "-X", "POST", "-H", f"Authorization: Bearer {TOKEN}",
                                    f"127.0.0.1:{proxy.admin_port}/api/v1/switchover"], check=True, capture_output=True)
                if "grep" in command and "/metrics" in command:
                    eventually(lambda: "db_query_total" in proxy.http("/metrics")[2], "there is something to count")
                if "/reload" in command:
                    proxy.write_config(merge(proxy.config, {"pool": {"size": 7}}))
                out = _run(proxy, command)
                assert out.strip(), command
                if "/api/v1/events" not in command:
                    missing = set(KEY.findall(shown)) - set(KEY.findall(out))
                    # Under the block about the switchover, what is shown belongs to its last command.
                    assert not missing or "switchover" in command, (command, missing, out)
                ran += 1
    assert ran >= 11, f"only {ran} commands were found"


CASES = [curl_examples]
