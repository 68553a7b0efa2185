# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a probe makes in the cluster, to the letter: it runs with all privileges."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import pod
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.pod import ImageProblem, Plan
from expected import require_expected_json

PLAN = Plan(
    id="0123456789abcdef",
    machine="7x1SuC8Ege5BGXdAfTEff5iQnlWZLfv9h1LGMxA2pYkC",
    node="worker-1",
    image="registry.example/probe@sha256:" + "a" * 64,
    device="/dev/sda5",
    owner="1234 boot namespace",
    seconds=60,
    expires=dt.datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=dt.UTC),
)


def objects(plan: Plan) -> dict[str, Any]:
    """Everything that one probe makes."""
    return {"namespace": pod.namespace(plan), "network_policy": pod.network_policy(plan), "job": pod.job(plan)}


def test_the_objects_of_a_probe() -> None:
    require_expected_json("probe/objects.json", objects(PLAN))


def test_only_the_image_the_node_and_what_is_known_of_it_are_anybodys_choice() -> None:
    (container,) = objects(dataclasses.replace(PLAN, device=None))["job"]["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "PROBE_ID", "value": PLAN.id}, {"name": "PROBE_STATE", "value": ""}]
    assert dataclasses.replace(PLAN, id="another", node="renamed").namespace == PLAN.namespace
    assert dataclasses.replace(PLAN, machine="another").namespace != PLAN.namespace


DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize("image", [f"a{DIGEST}", f"r.example:5000/Probe/x_y.z-1:v1{DIGEST}", f"{'a' * 401}{DIGEST}"])
def test_an_image_is_named_by_its_digest(image: str) -> None:
    assert pod.require_digest(image) is None  # type: ignore[func-returns-value]  # that it returns is what is tested


@pytest.mark.parametrize(
    "image",
    ["a:latest", f"{DIGEST}", f"A{DIGEST}", f"a{DIGEST}0", f"a{DIGEST[:-1]}", f"a b{DIGEST}", f"{'a' * 402}{DIGEST}"],
)
def test_any_other_image_is_refused(image: str) -> None:
    with pytest.raises(ImageProblem, match="is not named by its digest alone"):
        pod.require_digest(image)


@pytest.mark.parametrize(
    ("location", "device"),
    [
        ("/dev/sda5", "/dev/sda5"),
        ("/dev/disk/by-id/a:b.c-1", "/dev/disk/by-id/a:b.c-1"),
        ("/dev/a/b/c/d", "/dev/a/b/c/d"),
        ("/dev/a/b/c/d/e", None),
        ("/dev", None),
        ("/dev/../etc", None),
        ("/dev/.x", None),
        ("/dev/sda5; id", None),
        ("/dev/" + "a" * 61, "/dev/" + "a" * 61),
        ("/dev/" + "a" * 62, None),
        ("sda5", None),
        (None, None),
        (5, None),
    ],
)
def test_a_device_is_a_path_below_dev(location: Any, device: str | None) -> None:
    assert pod.device_of(location) == device
