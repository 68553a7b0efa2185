# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the Image Factory that believes nothing it has not checked.

The factory's interface is described in image-factory ``docs/api.md``; its authentication in ``docs/authentication.md``.
Everything here runs before any node is touched, so every doubt is an error, each with its own kind.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ..problem import Problem
from . import kernel_args, references
from . import schematic as schematics
from .references import Target

PUBLIC_FACTORY = "https://factory.talos.dev"

_LIMIT = 8 * 1024 * 1024
_LONGEST_WAIT = 60.0
_REDIRECTS = 5
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CHALLENGE = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


class FactoryError(Problem):
    """The Image Factory or a registry did not give what a rollout needs."""

    kind = "factory"


class WrongId(FactoryError):
    """The factory's schematic is not the one that was sent."""

    kind = "wrong_id"


class LostSchematic(FactoryError):
    """The factory does not know a schematic that it has just accepted."""

    kind = "lost_schematic"


class RateLimited(FactoryError):
    """The factory answers 429 to the end."""

    kind = "rate_limited"


class Unavailable(FactoryError):
    """No answer, or a server error to the end."""

    kind = "unavailable"


class WrongCmdline(FactoryError):
    """The image's kernel command line is not what the goal needs."""

    kind = "wrong_cmdline"


class MissingExtension(FactoryError):
    """An extension or overlay of the schematic does not exist for the target version."""

    kind = "missing_extension"


class DigestChanged(FactoryError):
    """The installer is another image than the one that was checked."""

    kind = "digest_changed"


class BadAnswer(FactoryError):
    """An answer that cannot be understood."""

    kind = "bad_answer"


class Rejected(FactoryError):
    """The factory refuses the schematic or the request (400)."""

    kind = "rejected"


class Unauthorized(FactoryError):
    """Credentials are missing, wrong, or not for this schematic (401, 403)."""

    kind = "unauthorized"


class NotFound(FactoryError):
    """The factory has no such thing (404)."""

    kind = "not_found"


class UnsafeUrl(FactoryError):
    """An address without TLS, or one that cannot be used."""

    kind = "unsafe_url"


@dataclass(frozen=True)
class Access:
    """How to reach one host: the factory, or a registry that mirrors it.

    Attributes:
        url: ``https://host[:port][/prefix]``. Plain ``http`` is for loopback, or where ``allow_plain_http`` says so.
        username, password: HTTP Basic credentials.
        token: a bearer token; to a registry that asks for Basic it is sent as the password.
        ca_file: PEM file of the certificate authorities to trust instead of the system's.
        allow_plain_http: allow an address without TLS on another machine than this one.
    """

    url: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    allow_plain_http: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise UnsafeUrl(
                "a factory or registry address holds credentials",
                "addresses are shown in messages and reports",
                "give the user name and the password as separate options",
            )
        _check_url(self.url, self.allow_plain_http)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(value for value in (self.password, self.token) if value)

    def authorization(self, *, basic: bool = False) -> str | None:
        """The value of the Authorization header, or None without credentials."""
        if self.token and not basic:
            return f"Bearer {self.token}"
        secret = self.password if self.password is not None else self.token
        if secret is None:
            return None
        pair = f"{self.username or 'token'}:{secret}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer: ``status``, ``headers`` and the whole ``body``."""

    status: int
    headers: Message
    body: bytes
    url: str


class Factory:
    """An Image Factory.

    Args:
        access: the factory, as an address or with credentials and CA.
        registry: ``host[:port][/prefix]`` of installer references, when it is not the factory's own.
        pxe_url: address of the PXE frontend, when it has a host of its own.
        mirrors: registry host -> how to really reach it, as in a node's registry mirrors.
        timeout: seconds without a byte after which one request has failed. The first pull builds an image, so this
            is generous.
        deadline: seconds for one whole operation with all its retries.
        attempts: how often a request is tried on 429, 5xx, or a dead connection.
        backoff: seconds before the second attempt; doubled each time, unless ``Retry-After`` says more.
    """

    def __init__(
        self,
        access: Access | str = PUBLIC_FACTORY,
        *,
        registry: str | None = None,
        pxe_url: str | None = None,
        mirrors: Mapping[str, Access] | None = None,
        timeout: float = 120.0,
        deadline: float = 600.0,
        attempts: int = 5,
        backoff: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.access = Access(access) if isinstance(access, str) else access
        self.registry = registry or references.registry_of(self.access.url)
        self.pxe_url = pxe_url
        self.mirrors = dict(mirrors or {})
        self._timeout = timeout
        self._deadline = deadline
        self._attempts = attempts
        self._backoff = backoff
        self._sleep = sleep
        self._openers: dict[str | None, urllib.request.OpenerDirector] = {}

    # --- schematics -------------------------------------------------------------------------------------------

    def create(self, text: str) -> str:
        """Register a schematic and prove that the factory keeps exactly it.

        Args:
            text: the schematic, YAML or JSON.

        Returns:
            its id. With credentials the factory may have added the ``owner``, which makes it another id.

        Raises:
            WrongId: the id, or the text behind it, is another than what was sent.
            LostSchematic: it cannot be read back.
            FactoryError: see the module.
            schematic.SchematicError: the text is no schematic.
        """
        wanted = schematics.parse(text)
        answer = self._call("POST", "/schematics", wanted.body().encode(), {"Content-Type": "application/yaml"})
        if answer.status == 400:
            self._reject(answer, "the factory refuses the schematic")
        self._expect(answer, 201, "the factory did not register the schematic")
        data = _json(answer, dict)
        given = data.get("id")
        if not isinstance(given, str) or not schematics.ID.fullmatch(given):
            raise _bad_answer(answer, "gave no schematic id")
        returned = data.get("schematic")
        if returned is not None and not isinstance(returned, str):
            raise _bad_answer(answer, "gave a schematic that is no text")
        expected = schematics.known_id(wanted)
        if given != expected:
            self._accept_other_id(wanted, expected, given, returned)
        kept = self.get(given)
        if returned is not None and kept != returned:
            raise self._wrong_id(expected, given, "the schematic read back differs from the one it answered with")
        return given

    def get(self, schematic_id: str) -> str:
        """The canonical text of a schematic, checked against its id.

        Raises:
            LostSchematic: the factory does not know it.
            WrongId: the text does not belong to the id.
        """
        answer = self._call("GET", f"/schematics/{quote(schematic_id, safe='')}")
        if answer.status == 404:
            raise LostSchematic(
                f"the factory does not know the schematic {schematic_id}",
                "an installer that nobody can build cannot be installed, and the node would stay empty",
                "create the schematic again; if that does not help, the factory has lost its storage",
                schematic=schematic_id,
                url=answer.url,
            )
        self._expect(answer, 200, "the factory did not show the schematic")
        text = _text(answer)
        if not schematics.is_text_of(text, schematic_id):
            raise self._wrong_id(
                schematic_id, hashlib.sha256(answer.body).hexdigest(), "the schematic read back has another hash"
            )
        return text

    def _accept_other_id(
        self, wanted: schematics.Schematic, expected: str | None, given: str, returned: str | None
    ) -> None:
        """Whether an id that is not the offline one still stands for the very schematic that was sent."""
        if returned is None or not schematics.is_text_of(returned, given):
            raise self._wrong_id(expected, given, "the text it answered with has not this id either")
        try:
            kept = dict(schematics.parse(returned).data)
        except schematics.SchematicError:
            raise self._wrong_id(expected, given, "the text it answered with cannot be read") from None
        if self.access.authorization() is not None and "owner" not in wanted.data:
            # An enterprise factory stamps the caller as the owner, which is part of the id.
            kept.pop("owner", None)
            if expected is not None and schematics.known_id(schematics.parse(returned)) != given:
                raise self._wrong_id(expected, given, "the text it answered with is not canonical")
        elif expected is not None:
            raise self._wrong_id(expected, given, "it answered with another schematic")
        if kept != wanted.data:
            raise self._wrong_id(expected, given, "it answered with another schematic")

    def _wrong_id(self, expected: str | None, given: str, detail: str) -> WrongId:
        return WrongId(
            f"the factory's schematic id {given} is not the expected {expected or 'one'}: {detail}",
            "the image behind it would not be the node's image plus enforcing=1",
            "check which factory this is and whether a proxy changes its answers",
            expected=expected,
            given=given,
            url=self.access.url,
        )

    # --- what exists ------------------------------------------------------------------------------------------

    def versions(self) -> list[str]:
        """The Talos versions the factory builds, with the leading ``v``."""
        answer = self._call("GET", "/versions")
        self._expect(answer, 200, "the factory did not list its versions")
        return _strings(answer, _json(answer, list))

    def extensions(self, version: str) -> list[dict[str, Any]]:
        """The official extensions for a version: ``[{name, ref, digest, author, description}]``."""
        return self._named(version, "extensions")

    def overlays(self, version: str) -> list[dict[str, Any]]:
        """The official overlays for a version: ``[{name, image, ref, digest}]``."""
        return self._named(version, "overlays")

    def _named(self, version: str, what: str) -> list[dict[str, Any]]:
        references.parse_version(version)
        answer = self._call("GET", f"/version/{version}/{what}/official")
        if answer.status == 404:
            raise self._not_found(answer, f"the factory has no list of {what} for {version}")
        self._expect(answer, 200, f"the factory did not list the {what}")
        entries: list[dict[str, Any]] = _json(answer, list)
        if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries):
            raise _bad_answer(answer, f"listed {what} without names")
        return entries

    def cmdline(self, schematic_id: str, target: Target) -> str:
        """The kernel command line that the factory builds into the image.

        Raises:
            NotFound: no such image.
            BadAnswer: the file is not one line of printable text.
        """
        url = references.media(schematic_id, target, self.access.url)["cmdline"]
        answer = self._request(self.access, "GET", url)
        if answer.status == 404:
            raise self._not_found(answer, f"the factory has no image of {schematic_id} for {target.version}")
        self._expect(answer, 200, "the factory did not build the kernel command line")
        text = _text(answer).strip()
        if not re.fullmatch(r"[ -~]+", text):
            raise _bad_answer(answer, "gave a kernel command line that is not one line of text")
        return text

    def resolve_installer(self, reference: str, expected_digest: str | None = None) -> str:
        """The digest a registry gives for an installer reference; on the first call the factory builds the image.

        Args:
            reference: exact reference; the registry may be the factory's, another, or one with a mirror.
            expected_digest: the digest of an earlier check.

        Raises:
            DigestChanged: it is not the expected one, or not the one in the reference.
            NotFound, Unauthorized, RateLimited, Unavailable, BadAnswer: as the names say.
            references.BadReference: ``latest``, or no exact reference.
        """
        parsed = references.parse(reference)
        access = self._access_to(parsed.registry)
        tag = parsed.digest or parsed.tag
        url = f"{access.url.rstrip('/')}/v2/{parsed.repository}/manifests/{tag}"
        answer = self._from_registry(access, "HEAD", url)
        if answer.status == 405:
            answer = self._from_registry(access, "GET", url)
        if answer.status == 404:
            raise self._not_found(answer, f"the registry has no image {reference}")
        self._expect(answer, 200, f"the registry did not resolve {reference}")
        digest = answer.headers.get("Docker-Content-Digest")
        if digest is None:
            if not answer.body:
                answer = self._from_registry(access, "GET", url)
                self._expect(answer, 200, f"the registry did not resolve {reference}")
            digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if not references.DIGEST.fullmatch(digest):
            raise _bad_answer(answer, "gave a digest that is none")
        for known in (expected_digest, parsed.digest):
            if known is not None and digest != known:
                raise DigestChanged(
                    f"the installer {reference} is now {digest}, not {known}",
                    "it is another image than the one that was checked",
                    "find out who rebuilt it, then verify the new image from the start",
                    installer=reference,
                    expected=known,
                    given=digest,
                )
        return digest

    # --- the whole proof --------------------------------------------------------------------------------------

    def verify(
        self,
        schematic: str,
        version: str,
        platform: str = "metal",
        arch: str = "amd64",
        *,
        secureboot: bool = False,
        goal: kernel_args.Goal = "enforcing",
        expected_digest: str | None = None,
    ) -> dict[str, Any]:
        """Prove, before any node is touched, that the installer exists and is what the goal needs.

        Args:
            schematic: text of the schematic to install.
            expected_digest: digest of an earlier check; another one is an error.

        Returns:
            ``{id, schematic, owner, version, platform, arch, secureboot, goal, installer, digest, pinned, cmdline,
            kernel_args, extensions, media}``. ``installer`` is the reference with its tag, ``pinned`` has the
            digest too; ``media`` holds download addresses.

        Raises:
            FactoryError: one of its kinds for each thing that is not as it should be.
        """
        target = Target(version, platform, arch, secureboot)
        if references.parse_version(version) < (1, 10, 0):
            raise references.BadReference(
                f"Talos {version} is older than v1.10.0",
                "its installer does not carry the schematic's kernel arguments",
                "use a newer version",
            )
        wanted = schematics.parse(schematic)
        if version not in self.versions():
            raise NotFound(
                f"the factory does not build Talos {version}",
                "there is no installer to reinstall the node with",
                "use one of the versions it lists, or another factory",
                version=version,
                url=self.access.url,
            )
        self._check_parts(wanted, version)
        schematic_id = self.create(schematic)
        canonical = self.get(schematic_id)
        cmdline = self.cmdline(schematic_id, target)
        check_cmdline(cmdline, wanted, target, goal)
        installer = references.installer(schematic_id, target, self.registry)
        digest = self.resolve_installer(str(installer), expected_digest)
        return {
            "id": schematic_id,
            "schematic": canonical,
            "owner": schematics.parse(canonical).owner,
            "version": version,
            "platform": platform,
            "arch": arch,
            "secureboot": secureboot,
            "goal": goal,
            "installer": str(installer),
            "digest": digest,
            "pinned": str(installer.pinned(digest)),
            "cmdline": cmdline,
            "kernel_args": list(wanted.kernel_args),
            "extensions": list(wanted.extensions),
            "media": references.media(schematic_id, target, self.access.url, pxe_url=self.pxe_url),
        }

    def _check_parts(self, wanted: schematics.Schematic, version: str) -> None:
        missing: list[str] = []
        if wanted.extensions:
            names = {entry["name"] for entry in self.extensions(version)}
            missing += [name for name in wanted.extensions if name not in names]
        if wanted.overlay:
            names = {entry["name"] for entry in self.overlays(version)}
            missing += [f"overlay {wanted.overlay}"] if wanted.overlay not in names else []
        if missing:
            raise MissingExtension(
                f"the factory has no {', '.join(missing)} for Talos {version}",
                "the image cannot be built, and the node would stay empty after the wipe",
                "choose a version that has it, or remove it from the schematic first and soak without it",
                missing=missing,
                version=version,
            )

    # --- HTTP -------------------------------------------------------------------------------------------------

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._request(self.access, method, f"{self.access.url.rstrip('/')}{path}", body, headers)

    def _access_to(self, registry: str) -> Access:
        if registry in self.mirrors:
            return self.mirrors[registry]
        if registry == references.registry_of(self.access.url):
            parts = urlsplit(self.access.url)
            return Access(
                f"{parts.scheme}://{parts.netloc}",
                self.access.username,
                self.access.password,
                self.access.token,
                self.access.ca_file,
                self.access.allow_plain_http,
            )
        scheme = "http" if _is_loopback(urlsplit(f"//{registry}").hostname or "") else "https"
        return Access(f"{scheme}://{registry}")

    def _from_registry(self, access: Access, method: str, url: str) -> Answer:
        """A registry request, with the token exchange of the Docker registry protocol when the registry asks for it."""
        headers = {"Accept": _MANIFESTS}
        answer = self._request(access, method, url, None, headers, denied_is_answer=True)
        if answer.status == 401:
            challenge = answer.headers.get("WWW-Authenticate", "")
            authorization = None
            if challenge.lower().startswith("bearer "):
                authorization = self._token(access, challenge, url)
            elif challenge.lower().startswith("basic") and access.token:
                authorization = access.authorization(basic=True)
            if authorization is not None:
                headers["Authorization"] = authorization
                answer = self._request(access, method, url, None, headers, denied_is_answer=True)
        if answer.status in (401, 403):
            self._deny(answer)
        return answer

    def _token(self, access: Access, challenge: str, url: str) -> str:
        fields = dict(_CHALLENGE.findall(challenge))
        realm = urljoin(url, fields.get("realm", ""))
        _check_url(realm, access.allow_plain_http)
        query = urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
        headers: dict[str, str] = {"Authorization": ""}
        basic = access.authorization(basic=True)
        if basic and urlsplit(realm).hostname == urlsplit(access.url).hostname:
            # Only the registry's own host gets the password: the address comes from an answer, not from the operator.
            headers["Authorization"] = basic
        answer = self._request(access, "GET", f"{realm}{'&' if '?' in realm else '?'}{query}", None, headers)
        self._expect(answer, 200, "the registry's token service gave no token")
        data = _json(answer, dict)
        token = data.get("token") or data.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise _bad_answer(answer, "gave no token")
        return f"Bearer {token}"

    def _request(
        self,
        access: Access,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        denied_is_answer: bool = False,
    ) -> Answer:
        """One request with redirects and bounded retries.

        Raises:
            RateLimited, Unavailable: after the last attempt, or at the deadline.
            Unauthorized: on 401 and 403, unless ``denied_is_answer``.
        """
        end = time.monotonic() + self._deadline
        wait = self._backoff
        for attempt in range(1, self._attempts + 1):
            answer: Answer | None = None
            asked = 0.0
            try:
                answer = self._follow(access, method, url, body, dict(headers or {}), end)
            except (OSError, http.client.HTTPException, _Broken) as error:
                reason = getattr(error, "reason", error)
                if isinstance(reason, ssl.SSLCertVerificationError):
                    raise UnsafeUrl(
                        f"the certificate of {_origin(url)} cannot be verified ({reason.verify_message})",
                        "an image from an unproven factory could be anything",
                        "give the CA file of the factory or mirror",
                        url=_shown(url),
                    ) from None
                failure = self._clean(access, f"{type(reason).__name__}: {reason}")
            else:
                if answer.status not in _RETRIED:
                    if answer.status in (401, 403) and not denied_is_answer:
                        self._deny(answer)
                    return answer
                failure = f"HTTP {answer.status}"
                asked = _retry_after(answer.headers)
            pause = min(max(wait, asked), _LONGEST_WAIT)
            if attempt == self._attempts or asked > _LONGEST_WAIT or time.monotonic() + pause > end:
                break
            self._sleep(pause)
            wait *= 2
        limited = answer is not None and answer.status == 429
        problem = RateLimited if limited else Unavailable
        raise problem(
            f"{_origin(url)} does not answer {method} {urlsplit(url).path} ({failure}, {attempt} attempts)",
            "an image that cannot be checked must not be installed",
            "wait until the rate limit is over"
            if limited
            else "check the address, the network and the factory's health",
            url=_shown(url),
            attempts=attempt,
            retry_after=asked or None,
        )

    def _follow(
        self, access: Access, method: str, url: str, body: bytes | None, headers: dict[str, str], end: float
    ) -> Answer:
        authorization = headers.pop("Authorization", None)
        if authorization is None:
            authorization = access.authorization()
        first = url
        for _hop in range(_REDIRECTS + 1):
            sent = dict(headers)
            # A redirect leads to storage of someone else: credentials stay at home.
            if authorization and _origin(url) == _origin(first):
                sent["Authorization"] = authorization
            answer = self._once(access, method, url, body, sent, end)
            if answer.status not in _REDIRECTING:
                return answer
            location = answer.headers.get("Location")
            if not location or method == "POST":
                raise _bad_answer(answer, "redirects to nowhere")
            url = urljoin(url, location)
            _check_url(url, access.allow_plain_http)
        raise _bad_answer(answer, f"redirects more than {_REDIRECTS} times")

    def _once(
        self, access: Access, method: str, url: str, body: bytes | None, headers: Mapping[str, str], end: float
    ) -> Answer:
        request = urllib.request.Request(url, body, dict(headers), method=method)
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        opener = self._opener(access.ca_file)
        try:
            response = opener.open(request, timeout=min(self._timeout, left))
        except urllib.error.HTTPError as error:
            response = error
        with response:
            chunks: list[bytes] = []
            size = 0
            while chunk := response.read(65536):
                size += len(chunk)
                chunks.append(chunk)
                if size > _LIMIT:
                    raise _Broken(f"an answer of more than {_LIMIT} bytes")
                if time.monotonic() > end:
                    raise TimeoutError("the deadline is over")
            stated = response.headers.get("Content-Length")
            if method != "HEAD" and stated is not None and stated.isdigit() and int(stated) != size:
                raise _Broken("an answer that ends early")
            return Answer(response.status or 0, response.headers, b"".join(chunks), _shown(url))

    def _opener(self, ca_file: str | None) -> urllib.request.OpenerDirector:
        if ca_file not in self._openers:
            try:
                context = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                raise UnsafeUrl(
                    f"the CA file {ca_file} cannot be read ({error})",
                    "the factory cannot be proven to be the right one",
                    "give a PEM file with the factory's certificate authority",
                ) from None
            https = urllib.request.HTTPSHandler(context=context)
            self._openers[ca_file] = urllib.request.build_opener(https, _NoRedirect())
        return self._openers[ca_file]

    # --- refusals ---------------------------------------------------------------------------------------------

    def _clean(self, access: Access, text: str) -> str:
        for secret in access.secrets:
            text = text.replace(secret, kernel_args.MASK)
        return re.sub(r"[^ -~]+", " ", text)[:200].strip()

    def _expect(self, answer: Answer, status: int, otherwise: str) -> None:
        if answer.status == 400:
            self._reject(answer, otherwise)
        if answer.status != status:
            raise BadAnswer(
                f"{otherwise} (HTTP {answer.status} from {answer.url})",
                "an image that cannot be checked must not be installed",
                "check the factory's address and its log",
                status=answer.status,
                url=answer.url,
            )

    def _reject(self, answer: Answer, otherwise: str) -> NoReturn:
        said = self._clean(self.access, answer.body.decode("utf-8", "replace"))
        raise Rejected(
            f"{otherwise}: {said or 'no reason given'}",
            "an older factory does not know every field, and the open-source one knows no owner",
            "remove the field, or use a factory that knows it",
            url=answer.url,
        )

    def _deny(self, answer: Answer) -> NoReturn:
        raise Unauthorized(
            f"access is denied (HTTP {answer.status} from {answer.url})",
            "the image cannot be checked",
            "give credentials of the owner of the schematic"
            if answer.status == 403
            else "give the factory's or registry's user name and password, or a token",
            status=answer.status,
            url=answer.url,
        )

    def _not_found(self, answer: Answer, found: str) -> NotFound:
        return NotFound(
            found,
            "what cannot be pulled cannot be installed, and the node would stay empty",
            "check version, platform, architecture and the factory's address",
            url=answer.url,
        )


class _Broken(Exception):
    """An answer that was not transferred as a whole."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # Redirects are followed by hand, so that credentials and TLS are not lost on the way.
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def check_cmdline(cmdline: str, schematic: schematics.Schematic, target: Target, goal: kernel_args.Goal) -> None:
    """Prove that a built kernel command line reaches the goal and belongs to this schematic and platform.

    Raises:
        WrongCmdline: with every reason.
    """
    words = kernel_args.split(cmdline)
    problems = kernel_args.effective(cmdline).problems(goal)
    for arg in schematic.kernel_args:
        problems += [
            f"the schematic's argument {kernel_args.masked(word)} is missing"
            for word in kernel_args.split(arg)
            if not word.startswith("-") and word not in words
        ]
    if f"talos.platform={target.platform}" not in words:
        problems.append(f"talos.platform={target.platform} is missing: it is an image for another platform")
    if problems:
        raise WrongCmdline(
            f"the image's kernel command line is wrong: {'; '.join(problems)}",
            "the node would be wiped and then not boot as wanted",
            "check the schematic's extraKernelArgs, then the factory",
            problems=problems,
        )


def _check_url(url: str, allow_plain_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and (allow_plain_http or _is_loopback(parts.hostname)):
        return
    raise UnsafeUrl(
        f"the address {_shown(url)} is not https",
        "without TLS anyone on the way can hand out another image",
        "use https, or allow plain http by name (allow_plain_http) on a network you trust",
    )


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host) is not None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _shown(url: str) -> str:
    """An address for messages: no user information and no query, which may hold a token."""
    return f"{_origin(url)}{urlsplit(url).path}"


def _retry_after(headers: Message) -> float:
    """Seconds the server asks to wait; 0 when it does not say, or says it in a way that makes no sense."""
    value = (headers.get("Retry-After") or "").strip()
    if value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def _bad_answer(answer: Answer, what: str) -> BadAnswer:
    return BadAnswer(
        f"{answer.url} {what}",
        "an answer that is not understood is not a yes",
        "check whether this is an Image Factory, and whether a proxy is in between",
        url=answer.url,
        status=answer.status,
    )


def _text(answer: Answer) -> str:
    try:
        return answer.body.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad_answer(answer, "gave bytes that are no text") from None


def _json(answer: Answer, kind: type) -> Any:
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise _bad_answer(answer, "gave no JSON") from None
    if not isinstance(data, kind):
        raise _bad_answer(answer, f"gave JSON that is no {kind.__name__}")
    return data


def _strings(answer: Answer, data: list[Any]) -> list[str]:
    if not all(isinstance(item, str) for item in data):
        raise _bad_answer(answer, "gave a list with other things than words")
    return data
