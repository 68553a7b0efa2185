# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container registry: which digest an installer reference has, with the token exchange registries ask for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

from . import references
from .access import Access, check_url, is_loopback
from .answers import Answer, bad_answer, deny, expect, json_of, not_found
from .errors import DigestChanged
from .http import Http

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CHALLENGE = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


class Registries:
    """The registries that installers come from.

    Args:
        http: how to ask.
        factory: the factory, which is a registry of its own.
        mirrors: registry host -> how to really reach it, as in a node's registry mirrors.
    """

    def __init__(self, http: Http, factory: Access, mirrors: Mapping[str, Access]) -> None:
        self._http = http
        self._factory = factory
        self.mirrors = dict(mirrors)

    def resolve(self, reference: str, expected_digest: str | None = None) -> str:
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
            raise not_found(answer, f"the registry has no image {reference}")
        expect(access, answer, 200, f"the registry did not resolve {reference}")
        digest = answer.headers.get("Docker-Content-Digest")
        if digest is None:
            if not answer.body:
                answer = self._from_registry(access, "GET", url)
                expect(access, answer, 200, f"the registry did not resolve {reference}")
            digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if not references.DIGEST.fullmatch(digest):
            raise bad_answer(answer, "gave a digest that is none")
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

    def _from_registry(self, access: Access, method: str, url: str) -> Answer:
        """A registry request, with the token exchange of the Docker registry protocol when the registry asks for it."""
        headers = {"Accept": _MANIFESTS}
        answer = self._http.request(access, method, url, None, headers, denied_is_answer=True)
        if answer.status == 401:
            challenge = answer.headers.get("WWW-Authenticate", "")
            authorization = None
            if challenge.lower().startswith("bearer "):
                authorization = self._token(access, challenge, url)
            elif challenge.lower().startswith("basic") and access.token:
                authorization = access.authorization(basic=True)
            if authorization is not None:
                headers["Authorization"] = authorization
                answer = self._http.request(access, method, url, None, headers, denied_is_answer=True)
        if answer.status in (401, 403):
            deny(answer)
        return answer

    def _token(self, access: Access, challenge: str, url: str) -> str:
        fields = dict(_CHALLENGE.findall(challenge))
        realm = urljoin(url, fields.get("realm", ""))
        check_url(realm, access.allow_plain_http)
        query = urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
        headers: dict[str, str] = {"Authorization": ""}
        basic = access.authorization(basic=True)
        if basic and urlsplit(realm).hostname == urlsplit(access.url).hostname:
            # Only the registry's own host gets the password: the address comes from an answer, not from the operator.
            headers["Authorization"] = basic
        answer = self._http.request(access, "GET", f"{realm}{'&' if '?' in realm else '?'}{query}", None, headers)
        expect(access, answer, 200, "the registry's token service gave no token")
        data = json_of(answer, dict)
        token = data.get("token") or data.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise bad_answer(answer, "gave no token")
        return f"Bearer {token}"

    def _access_to(self, registry: str) -> Access:
        if registry in self.mirrors:
            return self.mirrors[registry]
        if registry == references.registry_of(self._factory.url):
            parts = urlsplit(self._factory.url)
            return Access(
                f"{parts.scheme}://{parts.netloc}",
                self._factory.username,
                self._factory.password,
                self._factory.token,
                self._factory.ca_file,
                self._factory.allow_plain_http,
            )
        scheme = "http" if is_loopback(urlsplit(f"//{registry}").hostname or "") else "https"
        return Access(f"{scheme}://{registry}")
