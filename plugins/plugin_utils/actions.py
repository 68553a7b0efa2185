# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every action plugin shares: nodes from the inventory, questions to them, errors as messages.

This is the one file under ``plugin_utils`` that knows Ansible.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from ansible.errors import AnsibleError  # type: ignore[import-untyped]  # ansible-core ships no types
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]  # ansible-core ships no types
from ansible.release import __version__  # type: ignore[import-untyped]  # ansible-core ships no types

try:
    from ansible.errors import AnsibleValueOmittedError
    from ansible.template import is_trusted_as_template  # type: ignore[import-untyped]  # ansible-core ships no types
except ImportError as error:
    # Ansible only warns of a collection that is not for it.
    raise AnsibleError(
        f"talosops.selinux does not work with ansible-core {__version__}, which lacks what it is made of. Install the "
        "oldest version that the collection's requirements.txt names, or a newer one."
    ) from error

from .arguments import argument_spec, plain
from .evidence.schema import TARGET_KEYS
from .operator_files import FileProblem, decrypting, read_text
from .problem import Problem, alike, unexpected
from .talos import fleet
from .talos.client import NodeClient, Route, connect
from .talos.config import Context, Talosconfig
from .talos.errors import TalosError

V = TypeVar("V")
#: A template that passes a variable on, or leaves the option out. No name of Jinja's own has an underscore inside.
_PASSED_ON = re.compile(r"{{ ([a-z]+_[a-z0-9_]+) \| default\(omit\) }}")
_WHY_CONFIG = "a wiped node can only be installed with its configuration, and the node does not give it back"


class InventoryProblem(Problem):
    """The inventory, or a file it or the task names, does not give what is needed."""

    kind = "inventory"


@dataclasses.dataclass(frozen=True)
class Target:
    """One node as the inventory and the task describe it."""

    host: str
    address: str
    context: Context
    route: Route
    server_name: str | None

    def connect(self) -> NodeClient:
        """An unopened client of this node; enter it to connect."""
        return connect(self.context, self.address, route=self.route, server_name=self.server_name)


class TalosAction(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Base of the collection's actions: a subclass names its module and implements :meth:`act`."""

    _requires_connection = False
    TRANSFERS_FILES = False

    MODULE: ClassVar[str]
    #: Further keyword arguments of ``validate_argument_spec`` (``required_if`` and the like).
    RULES: ClassVar[dict[str, Any]] = {}
    #: Options that hold secrets.
    SECRET: ClassVar[frozenset[str]] = frozenset()
    _spec: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        # Ansible loads an action before it forks a process for each task, so that what is read here is read once.
        cls._spec = _marked(argument_spec(cls.MODULE), cls.SECRET)

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, *how: Any) -> Any:
        """An option as Ansible would template it, without compiling a template that only passes a variable on.

        Most options of a rollout are ``{{ variable | default(omit) }}`` of variables that nobody set. Ansible compiles
        each of them anew in the process of every task and host. Should it stop to ask an action for its options, they
        are templated as ever.

        Raises:
            AnsibleError: as Ansible's own; among them the one by which an option is left out.
        """
        passed_on = _PASSED_ON.fullmatch(value) if isinstance(value, str) and is_trusted_as_template(value) else None
        variables = getattr(how[0], "available_variables", None) if how else None
        if passed_on and isinstance(variables, Mapping):
            if passed_on[1] not in variables:
                raise AnsibleValueOmittedError()
            known = variables[passed_on[1]]
            if isinstance(known, (bool, int, float)) or (isinstance(known, str) and "{" not in known):
                value = known
        return super().finalize_task_arg(name, value, *how)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate the arguments, act, and turn a Problem into a failed task that says what to do."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(self._spec, **self.RULES)
        self.params: dict[str, Any] = plain(arguments)
        if task_vars is None:
            raise AssertionError("Ansible gives every task its variables")
        self.variables: dict[str, Any] = task_vars
        self._hosts: dict[str, Mapping[str, Any]] = {}
        self._contexts: dict[tuple[Any, ...], Context] = {}
        try:
            with decrypting(self._decrypt):
                result.update(self._acted())
        except Problem as problem:
            # Without the text: Ansible prints the whole result of a failed task, and the message has it already.
            result.update(failed=True, msg=str(problem), failure=plain(problem.facts()))
        return result

    def _acted(self) -> dict[str, Any]:
        """What :meth:`act` returns.

        Raises:
            Problem: whatever went wrong. A trace would quote what nodes and files say, and would say nothing to do.
            AnsibleError: Ansible's own, which it words itself.
        """
        try:
            return self.act()
        except (Problem, AnsibleError):
            raise
        except Exception as error:
            raise unexpected(self.MODULE, error) from None

    def act(self) -> dict[str, Any]:
        """Do the work and return the task's result as plain data."""
        raise AssertionError(f"{type(self).__name__} does not say what it does")

    @property
    def check(self) -> bool:
        """Whether the task runs in check mode and must change nothing."""
        return bool(self._task.check_mode)

    @property
    def run_once(self) -> bool:
        """Whether the task does the work of all hosts of the play at once."""
        return bool(self._task.run_once)

    @property
    def host(self) -> str:
        """The inventory name of the node that the task is for.

        That is the host the task is delegated to where that is a node, and else the task's own: the implicit
        localhost, a host with the connection ``local``, and a host that is neither in the play nor in a group of the
        task's host stand for the controller, where the work happens anyway.
        """
        own: str = plain(self.variables["inventory_hostname"])
        delegate = plain(self._task.delegate_to)
        return delegate if delegate and self._is_node(delegate, own) else own

    def _is_node(self, delegate: str, own: str) -> bool:
        groups = plain(self.variables["groups"])
        if delegate not in groups["all"] or self.variable(delegate, "ansible_connection") == "local":
            return False
        if delegate in plain(self.variables.get("ansible_play_hosts_all") or []):
            return True
        return any(
            delegate in members and own in members
            for name, members in groups.items()
            if name not in ("all", "ungrouped")
        )

    def variable(self, host: str, name: str) -> Any:
        """A host's variable as plain data, or None when it is not set."""
        if host not in self._hosts:
            # Ansible puts a host's variables together anew at each access.
            self._hosts[host] = self.variables["hostvars"][host]
        return plain(self._hosts[host].get(name))

    def has_variable(self, host: str, name: str) -> bool:
        """Whether a host's variable is set, be it to nothing."""
        self.variable(host, name)
        return name in self._hosts[host]

    def _decrypt(self, path: str) -> bytes:
        # The public method decodes as UTF-8, and the one that names a file writes the plain text to disk.
        content: tuple[bytes, bool] = self._loader._get_file_contents(path)
        return bytes(content[0])

    def audit_terms(self, host: str) -> dict[str, Any]:
        """What the operator wrote down about a node's audit log, as ``evidence.collect`` takes it.

        Raises:
            InventoryProblem: one of the two host variables is not what it has to be.
        """
        baseline = self.variable(host, "talos_serial_baseline")
        if baseline is None:
            baseline = 0
        if isinstance(baseline, str) and baseline.isdecimal():
            baseline = int(baseline)
        strict = self.variable(host, "talos_strict_messages")
        number = isinstance(baseline, int) and not isinstance(baseline, bool)
        for name, value, good, need in (
            ("talos_serial_baseline", baseline, number and baseline >= 0, "a number from 0 on"),
            ("talos_strict_messages", strict, strict is None or isinstance(strict, bool), "true or false"),
        ):
            if not good:
                raise InventoryProblem(
                    f"the variable {name} of {host} is {value!r}",
                    "it decides whether the node's audit log counts as complete",
                    f"set it to {need}, or leave it out",
                    host=host,
                )
        return {"baseline_missing": int(baseline), "strict_messages": strict is True}

    def operation(self, host: str, *, locked_by: str | None, image: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is planned for a node, as ``evidence.collect`` takes it.

        Args:
            locked_by: which other run has it in work; None for nobody.
            image: the image that it is to be installed from (the ``target`` of a schematic); None when there is none.
        """
        return {
            "locked_by": locked_by,
            "boot_path": self.variable(host, "talos_boot_path"),
            "approved_local_data": str(self.variable(host, "talos_approved_local_data") or "").strip(),
            "identify_by": self.variable(host, "talos_identify_by") or "uuid",
            "target": {key: image[key] for key in TARGET_KEYS} if image else None,
        }

    def known(self, host: str) -> bool:
        """Whether the inventory has a host of that name."""
        return host in self.variables["hostvars"]

    def hosts(self) -> list[str]:
        """The hosts a task is for: its ``hosts`` option; with ``run_once`` those of the play; else its own.

        Raises:
            InventoryProblem: one of them is not in the inventory.
        """
        known = self.variables["hostvars"]
        hosts = self.params.get("hosts")
        if hosts is None:
            hosts = plain(self.variables["ansible_play_batch"]) if self.run_once else [self.host]
        missing = [host for host in hosts if host not in known]
        if missing:
            raise InventoryProblem(
                f"the inventory has no host named {', '.join(missing)}",
                "every node of the rollout is one host of the inventory",
                "correct the hosts option or the inventory",
                hosts=missing,
            )
        return list(hosts)

    def read_file(self, path: str, what: str) -> bytes:
        """A text file of the control host that the task names, as UTF-8 without a byte order mark.

        Raises:
            FileProblem: when it cannot be read, decrypted or decoded.
        """
        return read_text(path, what).encode()

    def machine_config_text(self, host: str, src: str | None = None) -> str | None:
        """The operator's machine configuration of a host, full of secrets; None when the inventory names none.

        Raises:
            FileProblem: when the file that is named cannot be read, decrypted or decoded.
        """
        path = src or self.variable(host, "talos_machine_config")
        if path is None:
            return None
        return read_text(str(path), f"machine configuration of {host}", why=_WHY_CONFIG)

    def required_machine_config_text(self, host: str, src: str | None = None) -> str:
        """The same of a host that must have one.

        Raises:
            InventoryProblem: the inventory names none.
            FileProblem: when the file that is named cannot be read, decrypted or decoded.
        """
        text = self.machine_config_text(host, src)
        if text is None:
            raise InventoryProblem(
                f"the inventory names no machine configuration for {host}",
                _WHY_CONFIG,
                "set talos_machine_config for the host to the file's path",
                node=host,
            )
        return text

    def target(self, host: str | None = None, *, address: str | None = None) -> Target:
        """Where and how a host's node is reached: task options first, then the host's connection variables.

        Args:
            host: the inventory name; unset, the node that the task is for.
            address: another address to reach with that host's settings.
        """
        host = host or self.host

        def setting(option: str, variable: str) -> Any:
            value = self.params.get(option)
            return value if value is not None else self.variable(host, variable)

        endpoints = setting("endpoints", "talos_endpoints") or []
        return Target(
            host=host,
            address=address or self.variable(host, "ansible_host") or host,
            context=self._context(
                setting("talosconfig", "talos_config"),
                setting("context", "talos_context"),
                (endpoints,) if isinstance(endpoints, str) else tuple(endpoints),
            ),
            route=setting("route", "talos_route") or "direct",
            server_name=setting("server_name", "talos_server_name"),
        )

    def _context(self, path: str | None, name: str | None, endpoints: tuple[str, ...]) -> Context:
        """A context of a talosconfig, read once for a task however many nodes share it."""
        key = (path, name, endpoints)
        if key not in self._contexts:
            if endpoints:
                made = dataclasses.replace(self._context(path, name, ()), endpoints=list(endpoints))
            else:
                made = Talosconfig.load(path).context(name)
            self._contexts[key] = made
        return self._contexts[key]

    def ask(self, question: Callable[[NodeClient], Awaitable[V]], target: Target | None = None) -> V:
        """Ask one node (the task's own unless told otherwise) and return its answer.

        Raises:
            TalosError: when the node gave no answer.
        """
        where = target or self.target()

        async def visit() -> V:
            async with where.connect() as client:
                return await question(client)

        return fleet.run(visit())

    def ask_fleet(
        self,
        question: Callable[[NodeClient, Target], Awaitable[V | Problem]],
        *,
        without: Sequence[str] = (),
        node_deadline: float = 45.0,
    ) -> tuple[dict[str, V], dict[str, dict[str, Any]]]:
        """Ask every node of the play at once, except those ``without``.

        Args:
            question: gives the answer, or the problem that this node alone has.
            node_deadline: seconds that one node has for all of its answers.

        Returns:
            The answers by host, and the failures by host as ``{kind, found, why, do, ...}``.

        Raises:
            FleetUnread: when not one node gave an answer.
        """
        targets: dict[str, Target] = {}
        failures: dict[str, dict[str, Any]] = {}
        for host in self.hosts():
            if host in without:
                continue
            try:
                targets[host] = self.target(host)
            except Problem as problem:
                failures[host] = problem.as_dict()

        async def visit(host: str) -> V | Problem:
            try:
                async with targets[host].connect() as client:
                    return await question(client, targets[host])
            except (InventoryProblem, FileProblem) as problem:
                # What one host's variables say, or the file that they name, costs no other host its answer.
                return problem

        answers: dict[str, V] = {}
        outcome = fleet.run(
            fleet.ask_all(list(targets), visit, in_flight=self.params["in_flight"], node_deadline=node_deadline)
        )
        for host, answer in outcome.items():
            if isinstance(answer, Problem):
                failures[host] = answer.as_dict()
            else:
                answers[host] = answer
        if failures and not answers:
            raise FleetUnread.of(failures)
        return answers, failures


class FleetUnread(TalosError):
    """Not one node of the play could be read."""

    kind = "fleet_unread"

    @classmethod
    def of(cls, failures: Mapping[str, Mapping[str, Any]]) -> FleetUnread:
        """The error for a fleet of which every node failed; it names up to three different reasons.

        Its ``unread`` has each problem once, however many nodes share it, as ``[{hosts, kind, found, why, do}]``.
        """
        groups = alike(failures)
        whole = (
            f"{next(iter(failures))} could not be read"
            if len(failures) == 1
            else f"none of the {len(failures)} nodes could be read"
        )
        reasons = [
            found["found"] if len(groups) == 1 else f"{_some(hosts)}: {found['found']}" for hosts, found in groups
        ]
        more = [f"and {len(groups) - 3} more problems"] if len(groups) > 3 else []
        return cls(
            f"{whole}: {'; '.join([*reasons[:3], *more])}",
            "a node that cannot be read is unknown, and unknown never passes",
            "; ".join(dict.fromkeys(str(found["do"]) for _hosts, found in groups[:3])),
            unread=[{"hosts": hosts, **found} for hosts, found in groups],
        )


def _marked(spec: Mapping[str, Any], secret: frozenset[str]) -> dict[str, Any]:
    """An argument specification that says of each option whether it is a secret, which its result is then cut from."""
    marked = {}
    for name, argument in spec.items():
        marked[name] = {**argument, "no_log": name in secret}
        if "options" in argument:
            marked[name]["options"] = _marked(argument["options"], secret)
    return marked


def _some(hosts: Sequence[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{hosts[0]} and {len(hosts) - 1} more"


def summary(answers: Sequence[Any] | Mapping[str, Any], failures: Mapping[str, Any]) -> dict[str, int]:
    """How many nodes were asked, answered and could not be read."""
    return {"asked": len(answers) + len(failures), "answered": len(answers), "unread": len(failures)}
