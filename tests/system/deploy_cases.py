"""The files of deploy/ against the product: what they set is taken, what they ask is answered, what they name is there.

Neither a container nor a cluster is started: there may be none. The package and its unit are tests/packaging's.
"""

import json
import os
import re
import shutil
import subprocess

from bench import DATABASE
from lib.processes import REPOSITORY
from lib.proxy import binary, clean_environment
from lib.suite import Skip

DEPLOY = REPOSITORY / "deploy"


def _yaml(name):
    try:
        import yaml
    except ImportError:
        raise Skip("no python3-yaml") from None
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def _promtool(*arguments):
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not promtool:
        raise Skip("no promtool (Debian: prometheus)")
    done = subprocess.run([promtool, "check", *map(str, arguments)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def _printed(**environment):
    """The configuration that follows from these variables: each key with its value and its source."""
    done = subprocess.run([binary(), "--print-config"], capture_output=True, text=True, timeout=20, cwd="/",
                          env={**clean_environment(), **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def sidecar_is_taken_and_answered(bench):
    """Every variable is one that the product knows, the ports are its defaults, every probe path answers."""
    secret, deployment = _yaml("kubernetes-sidecar.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always", "otherwise the application waits for its end"
    environment = {}
    for each in sidecar["env"]:
        if "value" in each:
            environment[each["name"]] = each["value"]
        else:
            reference = each["valueFrom"]["secretKeyRef"]
            assert reference["name"] == secret["metadata"]["name"], reference
            environment[each["name"]] = secret["stringData"][reference["key"]]
    printed = _printed(**environment)
    for name in environment:
        assert f"env {name}" in printed, f"{name} has no effect:\n{printed}"
    ports = {each["name"]: each["containerPort"] for each in sidecar["ports"]}
    assert re.search(rf"^ *port: {ports['admin']}\b", printed, re.M), printed
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["admin"])
    url = pod["containers"][0]["env"][0]["value"]
    assert ":6432/" in url and re.search(r"^ *port: 6432\b", printed, re.M), url
    drain = re.search(r"drain_timeout: (\d+)s", printed)
    assert pod["terminationGracePeriodSeconds"] > int(drain.group(1)), printed
    open_to_all = {"host": environment["PGSTEADY_ADMIN__HOST"], "operate_token": "one-token-0123456789", "read_token": "another-0123456789"}
    with bench.proxy(admin=open_to_all) as proxy:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = sidecar[probe]["httpGet"]
            assert asked["port"] in ports, asked
            # As the kubelet asks: without a token, by the pod's address.
            assert proxy.http(asked["path"], headers={"Host": "10.1.2.3:6433"})[0] == 200, asked


def container_file_names_what_is_there(bench):
    text = (DEPLOY / "Containerfile").read_text()
    presets = {each["name"] for each in json.loads((REPOSITORY / "CMakePresets.json").read_text())["configurePresets"]}
    for preset in re.findall(r"--preset (\S+)", text):
        assert preset in presets, preset
    (script,) = re.findall(r"RUN (scripts/\S+)", text)
    assert os.access(REPOSITORY / script, os.X_OK), script
    (ports,) = re.findall(r"^EXPOSE (.*)$", text, re.M)
    printed = _printed(DB_HOST="127.0.0.1")
    for port in ports.split():
        assert re.search(rf"^ *port: {port}\b", printed, re.M), port
    (entry,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', text, re.M)
    packaging = (DEPLOY / "packaging.cmake").read_text()
    assert entry == "/usr/bin/pgsteady" and "pgsteady" in packaging
    (user,) = re.findall(r"^USER (\S+)$", text, re.M)
    assert any(re.search(rf"^u!? {user}\b", each.read_text(), re.M) for each in DEPLOY.rglob("*.sysusers")), user
    for name in re.findall(r"-e (PGSTEADY_\w+)=", text):
        assert f"env {name}" in _printed(DB_HOST="127.0.0.1", **{name: "0.0.0.0"}), name


def prometheus_takes_rules_and_scrape(bench):
    _promtool("rules", DEPLOY / "prometheus-alerts.yaml")
    (scrape,) = _yaml("prometheus-scrape.yaml")
    (job,) = scrape["scrape_configs"]
    path = job.get("metrics_path", "/metrics")
    with bench.proxy() as proxy, proxy.connect(DATABASE):
        assert proxy.http(path)[0] == 200
    whole = bench.workspace.path / "prometheus.yaml"
    for file in scrape["rule_files"]:
        shutil.copy(DEPLOY / file, whole.parent / file)
    text = (DEPLOY / "prometheus-scrape.yaml").read_text()
    for file in re.findall(r"(?:credentials_file|ca_file|cert_file): *(\S+)", text):
        text = text.replace(file, str(whole))                        # promtool wants files that are there
    whole.write_text(text)
    _promtool("config", whole)


CASES = [sidecar_is_taken_and_answered, container_file_names_what_is_there, prometheus_takes_rules_and_scrape]
