# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node tells of its own image is hostile input: a text that is no schematic is not known, and harms nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import sections
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.sections import (
    schematic_of,
    user_volumes_section,
)

ID = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"


def schematic(text: Any) -> dict[str, Any] | None:
    """What is known of the schematic of a node whose extension has this text."""
    metadata = {"name": "schematic", "version": ID, "extraInfo": text}
    return schematic_of(None, [SimpleNamespace(spec={"metadata": metadata})])


def test_the_text_of_an_honest_schematic_is_read() -> None:
    text = (
        "customization:\n  extraKernelArgs: [enforcing=0, audit=1]\n"
        "  systemExtensions:\n    officialExtensions: [siderolabs/gvisor]\n"
    )
    assert schematic(text) == {
        "id": ID,
        "source": "extension",
        "kernel_args": ["enforcing=0", "audit=1"],
        "extensions": ["siderolabs/gvisor"],
        "text": text,
    }
    empty = schematic("customization: {}\n")
    assert empty is not None and empty["kernel_args"] == [] and empty["extensions"] == []


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "# nothing but a comment",
        "customization: of the other kind",
        "customization: [extraKernelArgs]",
        "customization: {extraKernelArgs: enforcing=0}",
        "customization: {extraKernelArgs: [{a: b}]}",
        "customization: {extraKernelArgs: [1]}",
        "customization: {systemExtensions: [a]}",
        "customization: {systemExtensions: {officialExtensions: {a: b}}}",
        "customization: &a {extraKernelArgs: [*a]}",
        "a: &a [x, x]\nb: &b [*a, *a]\ncustomization: {extraKernelArgs: *b}",
        "customization: !!python/object/apply:os.system [id]",
        "[" * 200_000,
        "- " * 100_000,
        "{" * 50_000 + "}" * 50_000,
        "\x00customization: {}",
        "customization: {}\n---\ncustomization: {}",
    ],
)
def test_a_text_that_is_no_schematic_is_not_known(text: str | None) -> None:
    found = schematic(text)
    assert found is not None and found["id"] == ID
    assert found["kernel_args"] is None and found["extensions"] is None and found["text"] is None


def test_the_text_of_another_schematic_than_the_booted_one_is_not_its_text() -> None:
    extension = SimpleNamespace(
        spec={"metadata": {"name": "schematic", "version": ID, "extraInfo": "customization: {}"}}
    )
    booted = SimpleNamespace(spec={"schematicId": "0" * 64})
    unknown = {"kernel_args": None, "extensions": None, "text": None}
    assert schematic_of(booted, [extension]) == {"id": "0" * 64, "source": "resource", **unknown}


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (["META", "STATE", "EPHEMERAL", "/var/lib"], []),
        (["u-data", "EPHEMERAL"], ["u-data"]),
        (["r-ceph", "e-archive", "u-data"], ["e-archive", "r-ceph", "u-data"]),
        (["s-swap", "x-nfs"], []),
        (None, None),
    ],
    ids=["none", "user", "raw and existing", "without data of the disk", "not read"],
)
def test_every_kind_of_volume_that_a_wipe_may_destroy_is_named(ids: list[str] | None, found: list[str] | None) -> None:
    volumes = None if ids is None else [SimpleNamespace(id=one) for one in ids]
    assert user_volumes_section({"volume_statuses": volumes}) == found


STATE = "selinux=1"
PID1 = "system_u:system_r:init_t:s0"


@pytest.mark.parametrize(
    ("state", "args", "pid1", "log", "found"),
    [
        ("permissive", [STATE], PID1, b"", []),
        ("permissive", [STATE, "enforcing=0"], PID1, b"selinux: policy loaded", []),
        ("enforcing", [STATE, "enforcing=0", "enforcing=1"], PID1, b"", []),
        ("disabled", ["selinux=0"], "kernel", b"selinux: disabled, not loading policy", []),
        ("unknown", [], "x", b"selinux: policy loaded", []),
        ("permissive", ["console=ttyS0", STATE], PID1, None, []),
        (
            "permissive",
            [],
            PID1,
            None,
            ["SecurityState says permissive, but the first selinux argument is missing"],
        ),
        (
            "enforcing",
            ["selinux=0", STATE, "enforcing=1", "enforcing=0"],
            None,
            None,
            [
                "SecurityState says enforcing, but the first selinux argument is selinux=0",
                "SecurityState says enforcing, but the kernel command line asks for permissive",
            ],
        ),
        (
            "permissive",
            [STATE, "enforcing=1"],
            "",
            None,
            [
                "SecurityState says permissive, but the kernel command line asks for enforcing",
                "SecurityState says permissive, but process 1 runs as no label",
            ],
        ),
        (
            "enforcing",
            None,
            "system_u:system_r:kernel_t:s0",
            b"x selinux: disabled, not loading policy y",
            [
                "SecurityState says enforcing, but process 1 runs as system_u:system_r:kernel_t:s0",
                "SecurityState says enforcing, but the kernel log says that no policy was loaded",
            ],
        ),
        (
            "disabled",
            None,
            None,
            b"selinux: policy loaded",
            ["SecurityState says disabled, but the kernel log says that the policy was loaded"],
        ),
    ],
)
def test_where_the_witnesses_of_the_mode_contradict_each_other(
    state: str, args: list[str] | None, pid1: str | None, log: bytes | None, found: list[str]
) -> None:
    assert sections.mode_disagreements(state, args, pid1, log) == found


CLASS, PERMISSION = (
    b"SELinux:  Class x not defined in policy.\n",
    b"SELinux:  Permission y in class z not defined in policy.\n",
)
LOADING = b"user: info: selinux: loading policy\n"
LOADED = b"kern: audit: type=1403 audit(1.0:2): lsm=selinux\n"


@pytest.mark.parametrize(
    ("log", "classes"),
    [
        (None, None),
        (b"", None),
        (LOADED + LOADING, None),
        (LOADING + LOADED, []),
        (b"kern: info: SELinux:  Initializing.\n" + LOADED, []),
        (LOADING, []),
        (CLASS, ["Class x not defined in policy"]),
        (
            PERMISSION + CLASS + CLASS,
            ["Class x not defined in policy", "Permission y in class z not defined in policy"],
        ),
        (b"SELinux:  Class \xff not defined in policy.\n", ["Class \ufffd not defined in policy"]),
    ],
)
def test_classes_that_the_policy_lacks_are_known_where_the_load_is_in_the_ring(
    log: bytes | None, classes: list[str] | None
) -> None:
    answers = {"security_state": None, "kernel_cmdline": None, "processes": None}
    assert sections.selinux_section(answers, log)["unknown_classes"] == classes


def spec(**fields: Any) -> Any:
    """A resource."""
    return SimpleNamespace(spec=fields)


def service(*states: str, state: str = "Running", name: str = "auditd") -> Any:
    return SimpleNamespace(id=name, state=state, events=[{"state": one} for one in states])


@pytest.mark.parametrize(
    ("services", "found"),
    [
        (None, None),
        ([], {"state": "absent", "starts": 0}),
        ([service(name="kubelet")], {"state": "absent", "starts": 0}),
        ([service("Preparing", "Running", "Running")], {"state": "Running", "starts": 1}),
        ([service("Running", "Failed", "Running", state="Failed")], {"state": "Failed", "starts": 2}),
        ([service(name="kubelet"), service()], {"state": "Running", "starts": 0}),
    ],
)
def test_how_often_auditd_was_started(services: Any, found: Any) -> None:
    analysis = {"coverage": 1, "counts": 2, "denials": 3, "mac_errors": 4, "more": 5}
    section = sections.audit_section({"services": services}, analysis, [{"name": "a"}])
    del analysis["more"]
    assert section == {"sources": [{"name": "a"}], **analysis, "services": found}


@pytest.mark.parametrize(
    ("resource", "role"),
    [("controlplane", "controlplane"), ("init", "controlplane"), ("worker", "worker"), ("x", None), (None, None)],
)
def test_the_role(resource: str | None, role: str | None) -> None:
    assert sections.role_of(None if resource is None else SimpleNamespace(spec=resource)) == role


def test_what_is_not_said_is_not_known() -> None:
    assert sections.kernel_args({"kernel_cmdline": None}) is None
    assert sections.kernel_args({"kernel_cmdline": spec(cmdline=" a  b=1 ")}) == ["a", "b=1"]
    assert sections.applied_manifests(None) is None
    assert sections.applied_manifests(spec(manifestsApplied="x")) is None
    assert sections.applied_manifests(SimpleNamespace(spec="x")) is None
    assert sections.applied_manifests(spec(manifestsApplied=["a", 1])) == ["a", "1"]
    assert sections.moment_of(None) is None
    assert sections.moment_of(1795348800) == "2026-11-22T12:00:00Z"
    assert sections.selinux_state({"security_state": None}) == "unknown"
    assert sections.selinux_state({"security_state": SimpleNamespace(selinux="enforcing")}) == "enforcing"
    assert sections.extensions_of(None) is None
    assert sections.volumes_section({"volume_statuses": None}) is None
    assert sections.time_section({"time_status": None}, None) == {"synced": None, "offset_seconds": None}
    processes = [SimpleNamespace(pid=2, label="b"), SimpleNamespace(pid=1, label="a")]
    assert sections._pid1_label(processes) == "a"
    assert sections._pid1_label(processes[:1]) is None
    assert sections._pid1_label([]) is None


def test_extensions_are_those_that_add_something() -> None:
    statuses = [spec(metadata={"name": name, "version": "1"}) for name in ("z", "schematic", "a", "modules.dep")]
    assert sections.extensions_of([*statuses, spec()]) == [
        {"name": "None", "version": "None"},
        {"name": "a", "version": "1"},
        {"name": "z", "version": "1"},
    ]


def test_talos_own_volumes_are_those_of_their_names() -> None:
    fields = {"phase": "ready", "uuid": "u", "partitionUUID": "p", "filesystem": "xfs"}
    names = ("META", "STATE", "EPHEMERAL", "ETCD", "CRI", "KUBELET", "LOG", "u-data", "/var")
    volumes = [SimpleNamespace(id=name, spec=fields) for name in names]
    found = sections.volumes_section({"volume_statuses": volumes})
    volume = {"phase": "ready", "uuid": "u", "partition_uuid": "p", "filesystem": "xfs"}
    assert found == dict.fromkeys(names[:-2], volume)


@pytest.mark.parametrize(
    ("keys", "staged"),
    [(None, None), ([], False), (["0x05"], False), *(([key], True) for key in ("0x06", "0X07", "0x08"))],
)
def test_whether_an_upgrade_is_staged(keys: list[str] | None, staged: bool | None) -> None:
    answers: dict[str, Any] = dict.fromkeys(("security_state", "machine_status", "image_factory_schematic"))
    answers |= {"extension_statuses": None, "booted_entry": spec(bootedEntry="e")}
    answers["version"] = SimpleNamespace(tag="v1", platform="metal", mode="metal", arch="amd64")
    answers["meta_keys"] = None if keys is None else [SimpleNamespace(id=key) for key in keys]
    assert sections.talos_section(answers) == {
        "version": "v1",
        "platform": "metal",
        "mode": "metal",
        "arch": "amd64",
        "stage": None,
        "ready": None,
        "schematic": None,
        "extensions": None,
        "booted_with_uki": None,
        "secure_boot": None,
        "booted_entry": "e",
        "staged_upgrade": staged,
    }


@pytest.mark.parametrize(("identifier", "known"), [("an id", True), (None, False), ("", False)])
def test_a_clusters_id_is_told_as_its_fingerprint(identifier: str | None, known: bool) -> None:
    answers = {"cluster_info": spec(clusterId=identifier), "kernel_cmdline": spec(cmdline="siderolink.api=x")}
    found = sections.cluster_section(answers, {"name": "lab"})
    assert (found["name"], found["omni"]) == ("lab", True)
    assert found["id"] == (sections.fingerprint(identifier) if known else None)


@pytest.mark.parametrize("machine_type", ["worker", "controlplane"])
def test_the_node_in_kubernetes(machine_type: str) -> None:
    def spec(**fields: Any) -> Any:
        return SimpleNamespace(spec=fields)

    answers: Any = {
        "machine_type": SimpleNamespace(spec=machine_type),
        "nodename": spec(nodename="k-1"),
        "node_status": spec(nodeReady=True, unschedulable=False),
        "manifest_status": spec(manifestsApplied=["05-flannel"]),
    }
    cni = [{"name": "flannel", "version": "1", "source": "DaemonSet n/f"}]
    found = sections.kubernetes_section(answers, "b", {"joined": True, "cni": cni}, asked=True)
    applied = ", Talos manifest 05-flannel" if machine_type == "controlplane" else ""
    assert found == {
        "nodename": "k-1",
        "node_ready": True,
        "unschedulable": False,
        "asked": True,
        "boot_id": "b",
        "joined": True,
        "cni": [{**cni[0], "source": f"DaemonSet n/f{applied}"}],
    }
