# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands where a secret should be: references that nobody resolved, ciphertext, redactions, placeholders.

Talos takes most of them literally: a token that is still a reference makes the node a stranger to its own cluster, and
that shows only after the wipe. Each is named for the tool that should have resolved it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from .document import Document, Path, dotted, leaves
from .places import name_paths, secret_paths

Place = Literal["anywhere", "fact", "secret", "formed"]

_SCHEMES = {
    "1Password": "op",
    "vals": r"ref\+[a-z0-9]+|secretref\+[a-z0-9]+",
    "Bitwarden": "bws?|bitwarden",
    "Doppler": "doppler",
    "AWS": "awssm|awsssm|awskms|aws-?sm|aws-?secrets?manager|aws|ssm|secretsmanager",
    "Google Secret Manager": "gcp-?sm|gcpsecrets?|sm",
    "Azure Key Vault": "azurekv|azkv|akv|azurekeyvault|keyvault",
    "Vault": "vault",
    "Kubernetes": "k8s|kubernetes",
    "a secret manager": (
        "pass|gopass|keyring|keeper|infisical|akeyless|conjur|lastpass|dashlane|passbolt|secrets?|secretref"
    ),
}
_TEMPLATE = "a template of Jinja, Go or Helm"
_VARIABLE = "a variable of envsubst, a shell or Terraform"
_ANGLES = "a placeholder in angle brackets"
_WORDS = r"(?:redacted|masked|hidden|filtered|scrubbed|sanitized|censored|obfuscated|vaulted|sensitive(?: value)?)"
_HIDDEN = rf"[*<\[({{!#=_-]+{_WORDS}[*>\])}}!#=_-]+"

# A value that is nothing but one of these is no value of its own, wherever it stands.
_ANYWHERE: tuple[tuple[str, re.Pattern[str]], ...] = (
    # Names of items may hold blanks.
    *((f"a reference of {name}", re.compile(rf"(?:{scheme})://\S.*")) for name, scheme in _SCHEMES.items()),
    ("a reference of vals", re.compile(r".*\bref\+[a-z0-9]+://\S+.*", re.DOTALL)),
    ("a value encrypted by SOPS", re.compile(r"ENC\[AES256_GCM,.*\]", re.DOTALL)),
    ("a value encrypted by Hiera eyaml", re.compile(r"ENC\[[A-Za-z0-9_]+[,:].*\]", re.DOTALL)),
    ("a value encrypted by Jasypt or Spring", re.compile(r"ENC\(.*\)|\{cipher\}.*")),
    ("a value encrypted by Ansible Vault", re.compile(r"\$ANSIBLE_VAULT;.*", re.DOTALL)),
    ("a value encrypted by age", re.compile(r"(?:-----BEGIN AGE ENCRYPTED FILE|age-encryption\.org/).*", re.DOTALL)),
    ("a value encrypted by PGP", re.compile(r"-----BEGIN PGP MESSAGE.*", re.DOTALL)),
    ("a reference of Vault", re.compile(r">{0,2}vault:[^\s#]+#\S+")),
    ("a reference of the Argo CD Vault plugin", re.compile(r"<(?:path|secret|vault):[^>]+>")),
    ("a reference of AWS", re.compile(r"\{\{resolve:[^}]+\}\}|arn:aws[a-z-]*:(?:secretsmanager|ssm|kms):\S+")),
    ("a reference of Google Secret Manager", re.compile(r"projects/[^/\s]+/secrets/\S+")),
    ("a reference of Azure Key Vault", re.compile(r"@Microsoft\.KeyVault\(.*\)")),
    ("a reference of Spruce or Concourse", re.compile(r"\(\(.+\)\)")),
    (_TEMPLATE, re.compile(r"\{\{.*\}\}|\{%.*%\}|\{#.*#\}", re.DOTALL)),
    (
        "what a template of Go leaves of a value it does not have",
        re.compile(r".*(?:<no value>|<nil>|%![a-z]\().*", re.S),
    ),
    (_VARIABLE, re.compile(r"[$%]\{[^}]+\}")),
    (
        "a redaction",
        re.compile(
            rf"\*{{3,}}|[\u2022\u25cf]{{3,}}|{_HIDDEN}|redacted|redacted[_ -]by[_ -].*"
            r"|\(known after apply\)|VALUE_SPECIFIED_IN_NO_LOG_PARAMETER|VALUE_HIDDEN",
            re.I,
        ),
    ),
)

# In a name, an address or an image these may stand between other characters and are no part of it.
_IN_FACTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (_TEMPLATE, re.compile(r".*(?:\{\{.*\}\}|\{%.*%\}).*", re.DOTALL)),
    (_VARIABLE, re.compile(r".*[$%]\{[^}]+\}.*|.*\$\([^)]+\).*|.*\$[A-Za-z_]\w*.*", re.DOTALL)),
    (_ANGLES, re.compile(r".*<[^<>]*>.*", re.DOTALL)),
    ("a placeholder", re.compile(r".*(?:@@?[A-Za-z_][\w.-]*@@?|__\w+__|#\{[^}]+\}).*")),
)

# Where a secret belongs, these are none; elsewhere they may well be what an argument or a label wants.
_IN_SECRETS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (_TEMPLATE, re.compile(r".*(?:\{\{.*\}\}|\{%.*%\}).*", re.DOTALL)),
    (_VARIABLE, re.compile(r".*\$\{[^}]+\}.*|\$\([^)]+\)|\$[A-Z_][A-Z0-9_]*|\$env:\w+", re.DOTALL)),
    ("a variable of a Windows shell", re.compile(r"%[A-Za-z_]\w*%")),
    ("a variable of Python", re.compile(r"%\([A-Za-z_]\w*\)s|\{[A-Za-z_]\w*\}")),
    ("a template of ERB", re.compile(r"<%.*%>", re.DOTALL)),
    ("a reference of Vault", re.compile(r">{0,2}vault:\S+")),
    ("a reference of a file or of the environment", re.compile(r"(?:file|env|age|sops):/{0,2}\S+|@?/run/secrets/\S+")),
    (_ANGLES, re.compile(r"<[^<>]*>")),
    ("a placeholder", re.compile(r"@@?[A-Za-z_][\w.-]*@@?|__\w+__|#\{[^}]+\}#?|\[\[.*\]\]|%%.*%%|\[[A-Z][A-Z0-9_]*\]")),
    (
        "a placeholder",
        re.compile(r"(?:change|replace)[ _-]?(?:me|this|it|with)\b.*|(?:your|insert)[ _-].*|placeholder\b.*", re.I),
    ),
    (
        "a redaction",
        re.compile(
            r"[xX]{4,}|\*+|\.{3,}|\u2026|(?:redacted|masked|hidden|removed|omitted|filtered|sensitive)\b.*", re.I
        ),
    ),
    ("a value sealed by Sealed Secrets", re.compile(r"Ag[A-D][A-Za-z0-9+/]{300,}={0,2}")),
)

# A secret whose form is known is judged by that form; these only give what is there its name.
_IN_FORMED: tuple[tuple[str, re.Pattern[str]], ...] = (
    (_VARIABLE, re.compile(r".*\$(?:\([^)]+\)|[A-Za-z_]\w*).*", re.DOTALL)),
    ("a reference of Terraform", re.compile(r"(?:var|local|data|module|[a-z]+_[a-z_]+)\.[a-zA-Z_][\w.\[\]]*")),
    (
        "a placeholder",
        re.compile(
            r"(?:my|some|the|fill|enter|put|dummy|example|secret|password|token|tbd|todo|fixme|xxx|test|foo|abc)\b.*"
            r"|replace_with_.*|none|null|nil|undefined|n/a|\{\d*\}|%[sv]",
            re.I,
        ),
    ),
)

_FURTHER: Mapping[Place, tuple[tuple[str, re.Pattern[str]], ...]] = {
    "anywhere": (),
    "fact": _IN_FACTS,
    "secret": _IN_SECRETS,
    "formed": (*_IN_SECRETS, *_IN_FORMED),
}

# Where Talos keeps other secrets than those of `places`; by the last key, since they stand in many documents.
_SECRET_KEY = re.compile(
    r"(?:.*(?:token|secret|password|passphrase|privatekey|presharedkey|apikey|keydata)|crt|key|cert|auth)",
    re.IGNORECASE,
)

# Text with a language of its own, where braces and dollars are not ours to judge.
_FREE_TEXT = frozenset({"content", "contents", "rules", "manifest", "manifests"})

# YAML's own conversion of bytes is nothing that Talos' strings take.
_STANDARD_TAG = "tag:yaml.org,2002:"


def name_of(value: str, place: Place) -> str | None:
    """What a value is instead of what it should be; None when it is no reference, ciphertext or placeholder.

    Args:
        value: the value, never quoted in the answer.
        place: ``formed`` where a secret of a known form belongs, ``secret`` where another secret does, ``fact`` where
            a name, an address or an image does.
    """
    word = value.strip()
    patterns = [*_ANYWHERE, *_FURTHER[place]]
    return next((name for name, pattern in patterns if pattern.fullmatch(word)), None)


def problems(document: Document) -> Iterator[str]:
    """Every value of a document that something should have replaced, one sentence each, by place and by name.

    Secrets whose form is known are left to `checks`, which knows whether they are well-formed.
    """
    if "sops" in document.data:
        yield f"the document {document.label} is still encrypted by SOPS"
    if "$patch" in document.data:
        yield f"the document {document.label} is not a configuration, but a patch"
    for path, tag in document.tags:
        shown = tag.removeprefix(_STANDARD_TAG) if tag.startswith(_STANDARD_TAG) else tag
        yield (
            f"{_where(document, path)} has the YAML tag {_short(shown)}, which Talos ignores: "
            "the value behind it would be taken as it is written"
        )
    formed, named = secret_paths(document), name_paths(document)
    for path, value in leaves(document.data):
        if not isinstance(value, str) or not value or _generic(path) in formed:
            continue
        secret = is_secret_key(path)
        if _FREE_TEXT & {part for part in path if isinstance(part, str)} or ("\n" in value.strip() and not secret):
            if "ENC[AES256_GCM," in value:
                yield f"{_where(document, path)} is still encrypted by SOPS"
            continue
        name = name_of(value, "secret" if secret else "fact" if _generic(path) in named else "anywhere")
        if name is not None:
            yield f"{_where(document, path)} is {name}, not the value itself"


def is_secret_key(path: Path) -> bool:
    """Whether the last key of a path names a secret, in whatever document."""
    names = [part for part in path if isinstance(part, str)]
    return bool(names) and _SECRET_KEY.fullmatch(names[-1]) is not None


def _generic(path: Path) -> tuple[str, ...]:
    return tuple("*" if isinstance(part, int) else str(part) for part in path)


def _where(document: Document, path: Path) -> str:
    return dotted(path) if document.kind is None else f"{document.label} {dotted(path)}"


def _short(tag: str) -> str:
    return tag if re.fullmatch(r"!{0,2}[\w./:-]{1,40}", tag) else "<masked>"
