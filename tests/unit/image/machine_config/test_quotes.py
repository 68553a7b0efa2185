# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
from functools import cache
from urllib.parse import quote, quote_plus

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import (
    Configuration,
    leaves,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.quotes import Quotes
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.texts import printable
from hypothesis import given
from hypothesis import strategies as st
from operator_configs import Config
from rejected_configs import judged_configs, two_clusters

CONFIG = Config()
SECRETS = two_clusters()
QUOTES = Quotes(CONFIG.text)
VALUES = [str(value) for document in Configuration(CONFIG.text).documents for _path, value in leaves(document.data)]
#: Comments are no values: Talos drops them when it reads.
WORDS = [word for word in CONFIG.words if any(word in value for value in VALUES)]


def split_in(size):
    return lambda word: "\n      ".join(word[at : at + size] for at in range(0, len(word), size))


#: How a node's text may give a value back.
WAYS = {
    "as it is": lambda word: word,
    "cut short": lambda word: f"{word[:10]}...",
    "the end of it": lambda word: f"...{word[-10:]}",
    "over several lines": split_in(7),
    "a character a line": split_in(1),
    "over several lines that were escaped": lambda word: printable(split_in(5)(word), 5000),
    "in Go's quotes": lambda word: json.dumps(f"x: {word}\n"),
    "in YAML's single quotes": lambda word: f"'{word}'",
    "in an address": lambda word: f"https://x/?a={quote(word, safe='')}",
    "in a form": lambda word: quote_plus(f"a b {word}"),
    "in base64": lambda word: base64.b64encode(word.encode()).decode(),
    "in base64 behind something": lambda word: base64.b64encode(b"x: " + word.encode() + b"\n").decode(),
    "in base64 for addresses": lambda word: base64.urlsafe_b64encode(b"?" + word.encode()).decode(),
    "in hexadecimal": lambda word: word.encode().hex(),
    "as bytes of Go": lambda word: f"0x{word.encode().hex()}",
    "in capital letters": str.upper,
    "in small letters": str.lower,
    "in base64 twice": lambda word: base64.b64encode(base64.b64encode(word.encode())).decode(),
    "in capital hexadecimal": lambda word: word.encode().hex().upper(),
    "in hexadecimal with colons": lambda word: word.encode().hex(":"),
    "as a list of numbers": lambda word: f"[{' '.join(str(byte) for byte in word.encode())}]",
    "as a list in JSON": lambda word: json.dumps(list(word.encode())),
    "as bytes of Go, each": lambda word: f"[]byte{{{', '.join(f'0x{byte:x}' for byte in word.encode())}}}",
    "in escapes of bytes": lambda word: "".join(f"\\x{byte:02x}" for byte in word.encode()),
    "in escapes of JSON": lambda word: "".join(f"\\u{byte:04X}" for byte in word.encode()),
    "in octal escapes": lambda word: "".join(f"\\{byte:03o}" for byte in word.encode()),
    "in an address, every byte": lambda word: "".join(f"%{byte:02X}" for byte in word.encode()),
    "in entities of HTML": lambda word: "".join(f"&#{byte};" for byte in word.encode()),
    "behind marks of lines": lambda word: "\n | ".join(word[at : at + 5] for at in range(0, len(word), 5)),
    "in pieces with quotes": lambda word: '" + "'.join(word[at : at + 4] for at in range(0, len(word), 4)),
    "with nothing between that shows": "\u200b".join,
    "in wide letters": lambda word: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in word),
}


def parts(text, size=8):
    compact = "".join(text.replace("\\n", " ").split())
    return {compact[at : at + size] for at in range(len(compact) - size + 1)}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_quote_a_secret_shows_it(way):
    assert len(WORDS) > 20
    for word in WORDS:
        quoted = WAYS[way](word)
        shown = QUOTES.masked(f"error decoding document (line 3): found {quoted} ?!", limit=10_000)
        assert "<masked>" in shown, word
        assert not parts(quoted) & parts(shown.replace("<masked>", "\0")), word
        assert shown.startswith("error decoding document (line 3):") and shown.endswith("?!")


def test_bytes_between_numbers_of_our_own_stay():
    said = "3 of 12 members answered in 250, 251, 1795951158 and 7 ms: 192.0.2.1, 192.0.2.7 (1, 2, 3, 4, 5, 6, 7, 8, 9)"
    assert QUOTES.masked(said) == said


def test_what_a_certificate_decodes_to_is_masked_too():
    bodies = [base64.b64decode(value).decode() for value in VALUES if value.startswith("LS0t")]
    pems = [line for body in bodies for line in body.split() if len(line) > 30]
    assert pems
    for line in pems:
        assert line not in QUOTES.masked(f"bad PEM block {line}")


def test_lines_of_a_pem_in_a_document_of_its_own():
    lines = [base64.b64encode(bytes([n] * 40)).decode() for n in range(5)]
    text = "kind: KubeAPIServerCAConfig\nissuingCA:\n    key: |\n" + "".join(f"        {line}\n" for line in lines)
    quotes = Quotes(text)
    for line in lines:
        assert line[:12] not in quotes.masked(f"cannot parse: {line}") and line[-12:] not in quotes.masked(f"x {line}")
    assert "<masked>" in quotes.masked("\n".join(lines))


def test_short_secrets_are_masked_where_they_stand_alone():
    quotes = Quotes("machine:\n  registries:\n    config:\n      r:\n        auth: {username: bob7, password: a1}\n")
    assert quotes.masked("login of bob7 with a1 failed at a12") == "login of <masked> with <masked> failed at a12"


def test_the_words_of_talos_stay():
    text = (
        "1 error occurred: * issuing Talos API CA key is not allowed on non-controlplane nodes (.machine.ca); "
        "the following document kinds are only allowed on control plane machines: [KubeAPIServerConfig "
        "KubeSchedulerConfig] UnattendedInstallConfig config is incompatible with v1alpha1 config (.machine.install) "
        "unknown keys found during decoding: x-notes: error decoding document /v1alpha1/ (line 1)"
    )
    assert QUOTES.masked(text, limit=1000) == text


@cache
def judged():
    """What was judged, each with the quotes of a configuration that can be read."""
    found = [(one, Quotes(one.sent)) for one in judged_configs(SECRETS) if one.dry_run]
    return [(one, quotes) for one, quotes in found if not quotes.masked("x").startswith("the node's text")]


#: Harmless words that a rejection may hold although the configuration holds them, or parts of them, as values.
HARMLESS = (
    *("error decoding document /v1alpha1/ (line 1)", "not allowed on non-controlplane nodes", "*v1alpha1.Config"),
    *("only allowed on control plane machines", "kube-apiserver CA is already set in v1alpha1 config", "typ: worker"),
)


def test_harmless_words_of_a_rejection_stay():
    """Secrets are values with something in them; what everybody's configuration says is none."""
    assert len(judged()) > 80
    seen = dict.fromkeys(HARMLESS, 0)
    for case, quotes in judged():
        said, shown = " ".join(case.dry_run.split()), quotes.masked(case.dry_run, limit=10_000)
        for words in HARMLESS:
            seen[words] += words in said
            assert words not in said or words in shown, shown
    assert all(seen.values()), seen


def test_no_rejection_shows_a_secret_of_its_configuration():
    secrets = [value for name, value in SECRETS.items() if not name.endswith("_CRT")]
    lines = [line for text in secrets if "." not in text for line in base64.b64decode(text).decode("latin-1").split()]
    assert judged()
    for case, quotes in judged():
        held = [secret for secret in (*secrets, *lines) if secret in case.sent]
        assert held, case
        whole = "; ".join([case.dry_run, *held])
        shown = quotes.masked(whole, limit=100_000)
        assert not [secret for secret in (*secrets, *lines) if len(secret) >= 8 and secret[:8] in shown]


@pytest.mark.parametrize("value", ["controlplane", "worker", "v1alpha1", "kubernetes", "latest"])
def test_a_word_that_is_a_password_is_masked(value):
    """In a place that is named after a secret even a word is one."""
    quotes = Quotes(f"machine: {{registries: {{config: {{r: {{auth: {{password: {value}}}}}}}}}}}")
    assert quotes.masked(f"login with {value} failed") == "login with <masked> failed"
    assert Quotes(f"machine: {{type: {value}}}").masked(f"login with {value} failed") == f"login with {value} failed"


def test_a_text_is_one_line_of_bounded_length_without_control_characters():
    shown = QUOTES.masked("a\x1b]0;x\x07\u202e\n\r\tb " + "c " * 5000)
    assert len(shown) == 600 and shown.isprintable() and shown.endswith("...")


def test_a_list_of_errors_reads_as_one_line():
    said = "1 error occurred:\n\t* KubeClusterConfig: endpoint must be specified\n\n"
    plain = "1 error occurred: * KubeClusterConfig: endpoint must be specified"
    assert QUOTES.masked(said) == QUOTES.masked(printable(said, 500)) == plain


def test_our_own_words_stay():
    quotes = Quotes("cluster: {controlPlane: {endpoint: 'https://10.20.30.40:6443'}}")
    assert quotes.masked("10.20.30.40 says https://10.20.30.40:6443 is bad", keep=("10.20.30.40",)) == (
        "10.20.30.40 says <masked>10.20.30.40<masked> is bad"
    )
    problem = quotes.problem(
        Problem("node 10.20.30.40 failed", "why", "do", node="10.20.30.40", text="10.20.30.40:6443")
    )
    assert problem.found == "node 10.20.30.40 failed"
    assert problem.context == {"node": "10.20.30.40", "text": "<masked>"}
    assert problem.args == ("node 10.20.30.40 failed", "why", "do")


@pytest.mark.parametrize("text", ["machine: [", "", "a: &a [1]\nb: " + "x" * 5_000_000])
def test_a_configuration_whose_values_are_not_known_withholds_every_text(text):
    assert Quotes(text).masked("token: hunter2") == (
        "the node's text is not shown, since it could not be told from the configuration's values"
    )


def test_several_configurations():
    other = Config()
    both = Quotes(CONFIG.text, other.text)
    assert "<masked>" in both.masked(f"x {WORDS[0]}") and "<masked>" in both.masked(f"x {other.words[1]}")


@given(st.text("abcdefghijklmnop0123456789+/=_-.", min_size=12, max_size=60), st.integers(8, 60), st.integers(0, 5))
def test_whatever_part_of_whatever_secret(secret, length, start):
    secret = f"q9{secret}z7"
    part = secret[start : start + length]
    shown = Quotes(json.dumps({"machine": {"files": [{"path": secret}]}})).masked(f"bad value {part!r}.")
    assert len(part) < 8 or part not in shown
