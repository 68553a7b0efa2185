# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of a schedule run a playbook that there is, with variables that it has, as often as the page says."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes.client
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "collect.md").read_text()
#: Minutes between two collections, in all examples and in the page.
INTERVAL = 15


def test_the_page_names_every_example_and_the_interval() -> None:
    found = {str(path.relative_to(ROOT / "docs")) for path in EXAMPLES.rglob("*") if path.is_file()}
    assert found == set(re.findall(r"\]\((examples/[^)]+)\)", PAGE))
    assert f"every {INTERVAL} minutes" in PAGE


def _manifests() -> list[dict[str, Any]]:
    """In the order in which kubectl applies a directory."""
    return [yaml.safe_load(path.read_text()) for path in sorted((EXAMPLES / "kubernetes").glob("*.yml"))]


def test_the_timer_starts_the_service_that_collects() -> None:
    timer = _unit("talos-selinux-collect.timer")
    assert timer["Timer"]["OnCalendar"] == f"*:0/{INTERVAL}"
    assert "Unit" not in timer["Timer"], "a service of the same name is started"
    service = _unit("talos-selinux-collect.service")["Service"]
    assert service["Type"] == "oneshot"
    assert "ANSIBLE_HOST_PATTERN_MISMATCH=error" in service["Environment"].split()
    words = shlex.split(service["ExecStart"].replace("\\\n", " "))
    variables = _runs_collect(words)
    assert variables["collect_directory"] in service["ReadWritePaths"]


def test_the_cron_job_reads_with_a_certificate_that_may_only_read() -> None:
    documents = _manifests()
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    assert found["ServiceAccount"]["apiVersion"] == "talos.dev/v1alpha1"
    assert found["ServiceAccount"]["spec"]["roles"] == ["os:reader"]
    job = found["CronJob"]["spec"]
    assert job["schedule"] == f"*/{INTERVAL} * * * *"
    assert job["concurrencyPolicy"] == "Forbid"
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = _runs_collect(container["command"])
    assert {"name": "ANSIBLE_HOST_PATTERN_MISMATCH", "value": "error"} in container["env"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts.values()) == set(volumes)
    secret = volumes[mounts["/var/run/secrets/talos.dev"]]["secret"]["secretName"]
    assert secret == found["ServiceAccount"]["metadata"]["name"]
    kept = [volumes[name] for path, name in mounts.items() if variables["collect_directory"].startswith(path)]
    assert kept[0]["persistentVolumeClaim"]["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]


def test_the_cron_job_has_only_fields_that_kubernetes_knows() -> None:
    checked = 0
    for document in _manifests():
        if not document["apiVersion"].startswith("talos.dev"):
            kind = "V1" + document["kind"]
            assert list(_unknown(document, kind, kind)) == []
            checked += 1
    assert checked == 4


def test_awx_runs_it_as_often() -> None:
    (play,) = yaml.safe_load((EXAMPLES / "awx" / "schedule.yml").read_text())
    template, schedule = (task[f"awx.awx.{module}"] for task, module in zip(play["tasks"], MODULES, strict=True))
    assert schedule["unified_job_template"] == template["name"]
    assert schedule["rrule"].endswith(f"RRULE:FREQ=MINUTELY;INTERVAL={INTERVAL}")
    assert set(template["extra_vars"]) <= _variables("collect")


MODULES = ("job_template", "schedule")


def _unit(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[method-assign,assignment]  # keys of a unit are not lower case
    unit.read(EXAMPLES / "systemd" / name)
    return unit


def _runs_collect(words: list[str]) -> dict[str, str]:
    """The variables that a command line gives to the playbook."""
    assert Path(words[0]).name == "ansible-playbook"
    assert words[1] == "talosops.selinux.collect"
    pairs = re.findall(r"(?:^|=)(collect_\w+)=(\S+)", "\n".join(words), re.MULTILINE)
    assert pairs and {name for name, _value in pairs} <= _variables("collect")
    return dict(pairs)


def _variables(playbook: str) -> set[str]:
    return set(re.findall(rf"\b({playbook}_\w+)", (ROOT / "playbooks" / f"{playbook}.yml").read_text()))


def _unknown(value: Any, kind: str, where: str) -> list[str]:
    """Fields of a Kubernetes object that its type does not have."""
    nested = re.fullmatch(r"(?:list\[(\w+)\]|dict\(str, (\w+)\)|dict\[str, (\w+)\])", kind)
    if nested:
        kind = next(filter(None, nested.groups()))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, item in items for found in _unknown(item, kind, f"{where}[{key}]")]
    model = getattr(kubernetes.client, kind, None)
    if model is None:
        return []
    fields = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
    wrong = [f"{where}.{key}" for key in value if key not in fields]
    return wrong + [
        found for key, item in value.items() if key in fields for found in _unknown(item, fields[key], f"{where}.{key}")
    ]
