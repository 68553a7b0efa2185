# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import kernel_args as ka
from hypothesis import given
from hypothesis import strategies as st

WORDS = [
    "enforcing=1",
    "enforcing=0",
    "enforcing",
    "enforcing=",
    "enforcing=2",
    "-enforcing",
    "selinux=1",
    "selinux=0",
    "-selinux",
    "-selinux=1",
    "security=apparmor",
    "security=selinux",
    "lsm=lockdown,apparmor",
    "lsm=yama,selinux,apparmor",
    "lsm=apparmor,selinux",
    "audit=0",
    "audit=off",
    "audit=OFF",
    "audit=1",
    "audit_backlog_limit=8192",
    "talos.auditd.disabled=1",
    "talos.auditd.disabled=0",
    "console=ttyS0",
    "console=tty0",
    "-console",
    "net.ifnames=0",
    'dyndbg="file x +p"',
    "console=ttyS0 enforcing=0",
    "quiet enforcing=1",
    "--",
    "quiet -- debug",
    "talos.config=https://x/?h=${hostname}",
]
ARGS = st.lists(
    st.one_of(st.sampled_from(WORDS), st.from_regex(r"[a-z.]{1,8}(=[a-z0-9,:]{0,6})?", fullmatch=True)), max_size=12
)


def words(args):
    return [word for entry in args for word in ka.split(entry)]


@given(ARGS)
def test_a_second_run_changes_nothing(args):
    for goal in ("enforcing", "permissive"):
        first = ka.solve(args, goal)
        second = ka.solve(first.args, goal)
        assert second.args == first.args
        assert not second.changed


@given(ARGS)
def test_kept_words_keep_their_order(args):
    solution = ka.solve(args)
    before = words(args)
    rest = [word for word in words(solution.args) if word not in solution.added]
    remaining = iter(before)
    assert all(word in remaining for word in rest)
    assert len(before) - len(solution.removed) == len(rest)


@given(ARGS)
def test_the_result_has_no_conflict(args):
    solution = ka.solve(args)
    result = words(solution.args)
    assert not [word for word in result if ka.conflicts(word)]
    assert result.count("enforcing=1") == 1
    assert ka.effective(["selinux=1", *solution.args]).problems("enforcing") == []
    back = ka.solve(solution.args, "permissive")
    assert "enforcing=1" not in words(back.args)
    assert ka.effective(["selinux=1", *back.args]).problems("permissive") == []


@given(ARGS)
def test_untouched_lists_come_back_untouched(args):
    clean = ka.solve(args).args
    assert ka.solve(clean).args == clean
    assert all(line.startswith("  ") for line in ka.solve(clean).diff)


def test_duplicates_collapse_to_one():
    # A controller that compares lists re-applies forever when an argument is written twice: the reboot loop.
    solution = ka.solve(["enforcing=1", "quiet", "enforcing=1", "enforcing=1"])
    assert solution.args == ("enforcing=1", "quiet")
    assert solution.removed == ("enforcing=1", "enforcing=1")
    assert not ka.solve(solution.args).changed


def test_the_first_of_two_meanings_does_not_survive_by_order():
    assert ka.solve(["enforcing=1", "enforcing=0"]).args == ("enforcing=1",)
    assert ka.solve(["enforcing=0", "enforcing=1"]).args == ("enforcing=1",)


def test_everything_else_stays():
    args = [
        "console=ttyS0",
        "-console",
        "console=tty0",
        "selinux=0",
        "net.ifnames=0",
        "audit=0",
        "talos.auditd.disabled=1",
    ]
    solution = ka.solve(args)
    assert solution.args == ("console=ttyS0", "-console", "console=tty0", "net.ifnames=0", "enforcing=1")
    assert solution.removed == ("selinux=0", "audit=0", "talos.auditd.disabled=1")
    assert solution.added == ("enforcing=1",)
    assert "+ enforcing=1" in solution.diff and "- audit=0" in solution.diff and "  console=ttyS0" in solution.diff


@pytest.mark.parametrize(
    ("lsm", "bad"),
    [
        ("lsm=lockdown,yama,selinux,bpf,apparmor", False),
        ("lsm=lockdown,yama,apparmor,selinux", True),
        ("lsm=smack,selinux", True),
        ("lsm=yama,bpf", True),
        ("lsm=", True),
        ("lsm", True),
        ("security=selinux", True),
    ],
)
def test_other_security_modules(lsm, bad):
    assert ka.conflicts(lsm) is bad
    assert bool(ka.effective(f"selinux=1 {lsm} enforcing=1").disabling) is bad


def test_the_argument_goes_before_the_end_of_kernel_arguments():
    assert ka.solve(["quiet", "--", "x"]).args == ("quiet", "enforcing=1", "--", "x")
    assert ka.solve(["quiet -- x"]).args == ("quiet", "enforcing=1", "-- x")
    assert ka.solve(["--", "enforcing=1"]).args == ("enforcing=1", "--")
    assert not ka.effective("selinux=1 -- enforcing=1").enforcing


@pytest.mark.parametrize(
    ("line", "selinux", "enforcing"),
    [
        ("selinux=1 enforcing=1", "1", True),
        ("selinux=1 selinux=0 enforcing=1", "1", True),
        ("selinux=0 selinux=1 enforcing=1", "0", True),
        ("enforcing=1", None, True),
        ("selinux=1", "1", False),
        ("selinux=1 enforcing=1 enforcing=0", "1", False),
        ("selinux=1 enforcing=0 enforcing=1", "1", True),
        ("selinux=1 enforcing=0x1", "1", True),
        ("selinux=1 enforcing=1 enforcing=yes", "1", True),
        ("selinux=1 enforcing", "1", False),
        ('selinux=1 "enforcing=1"', "1", True),
    ],
)
def test_what_a_command_line_means(line, selinux, enforcing):
    result = ka.effective(line)
    assert (result.selinux, result.enforcing) == (selinux, enforcing)
    assert ka.effective(line.split()) == result


@pytest.mark.parametrize("blind", ["audit=0", "audit=off", "talos.auditd.disabled=1", "talos.auditd.disabled"])
def test_blinding_arguments_are_named(blind):
    result = ka.effective(f"selinux=1 enforcing=1 {blind}")
    assert result.blinding == (blind,)
    assert blind in result.problems("enforcing")[0]


def test_secrets_in_arguments_are_masked_in_the_diff():
    args = [
        "siderolink.api=grpc://omni.example.org:8090?jointoken=s3cr3tvalue",
        "talos.config=https://user:hunter2@config.example.org/c.yaml?uuid=${uuid}&key=s3cr3tvalue",
        "talos.password=hunter2",
    ]
    solution = ka.solve(args)
    assert solution.args[:3] == tuple(args)
    text = "\n".join(solution.diff)
    assert "s3cr3tvalue" not in text and "hunter2" not in text
    assert "${uuid}" in text


UKI = "talos.platform=metal console=tty0 console=ttyS0 slab_nomerge selinux=1 module.sig_enforce=1 net.ifnames=0"


@pytest.mark.parametrize(
    "word",
    [
        "init=/bin/sh",
        "rdinit=/x",
        "talos.config=http://evil/",
        "siderolink.api=grpc://evil",
        "talos.platform=aws",
        "module.sig_enforce=0",
        "module.sig-enforce=0",
        "console=ttyS1",
        "slab_nomerge=1",
        '"init=/bin/sh -x"',
        "mitigations=off",
        "talos.auditd.disabled=1",
    ],
)
def test_a_word_more_in_a_built_line_is_found_and_one_less_too(word: str) -> None:
    more, less = ka.compare(UKI, f"{UKI} enforcing=1 {word}")
    assert ka.masked(word) in more
    # Where the parameter was there before, its other values are named too.
    assert all(ka._name(known) == ka._name(word).replace("-", "_") for known in less)
    if not ka.conflicts(word):
        assert word in ka.compare(f"{UKI} {word}", f"{UKI} enforcing=1")[1]


@pytest.mark.parametrize(
    ("present", "built"),
    [
        (UKI, f"{UKI} enforcing=1"),
        (f"{UKI} enforcing=1", UKI),
        (f"{UKI} enforcing=0 audit=0 security=apparmor", f"{UKI} enforcing=1"),
        (f"BOOT_IMAGE=/A/vmlinuz {UKI}", f"{UKI} enforcing=1"),
        (UKI, f"enforcing=1 net.ifnames=0 {UKI.removesuffix(' net.ifnames=0')}"),
    ],
)
def test_what_a_solver_may_change_is_no_difference(present: str, built: str) -> None:
    assert ka.compare(present, built) == ([], [])


def test_the_order_of_one_parameter_s_values_is_a_difference() -> None:
    swapped = UKI.replace("console=tty0 console=ttyS0", "console=ttyS0 console=tty0")
    assert ka.compare(UKI, swapped) == (["console=ttyS0", "console=tty0"], ["console=tty0", "console=ttyS0"])


def test_a_secret_in_a_differing_word_is_masked() -> None:
    more, _less = ka.compare(UKI, f"{UKI} talos.config=https://who:pw@host/?token=abc")
    assert more == ["talos.config=https://<masked>@host/?token=<masked>"]
