# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import Configuration
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.unresolved import name_of, problems
from operator_configs import Config, problems_in

#: By name, what may stand where a secret should.
REFERENCES = {
    "a reference of 1Password": ["op://vault/talos/token", "op://x/y/z?attribute=otp", "op://My Vault/a node/token"],
    "a value encrypted by SOPS": ["ENC[AES256_GCM,data:ab=,iv:cd=,tag:ef=,type:str]"],
    "a value encrypted by Ansible Vault": ["$ANSIBLE_VAULT;1.1;AES256\n3132\n"],
    "a value encrypted by age": ["-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "age-encryption.org/v1\n-> X25519"],
    "a value encrypted by PGP": ["-----BEGIN PGP MESSAGE-----\nhQ\n"],
    "a reference of vals": [
        "ref+vault://secret/talos#/token",
        "ref+awssecrets://x",
        "secretref+sops://f#/k",
        "a-ref+echo://x+-b",
    ],
    "a value encrypted by Hiera eyaml": ["ENC[PKCS7,MIIBiQYJ]", "ENC[GPG,hQEMA]"],
    "a value encrypted by Jasypt or Spring": ["ENC(nrmZtkF7T0kjG)", "{cipher}AQB"],
    "a reference of Kubernetes": ["k8s://talos/secret/token"],
    "a reference of Spruce or Concourse": ["((vault/token))", '(( vault "secret/x:y" ))'],
    "what a template of Go leaves of a value it does not have": ["<no value>", "x<no value>y", "%!s(<nil>)", "<nil>"],
    "a reference of Vault": ["vault:secret/data/talos#token", ">>vault:secret/data/talos#token", "vault://secret/x"],
    "a reference of the Argo CD Vault plugin": ["<path:secret/data/talos#token>", "<secret:x#y>"],
    "a reference of Bitwarden": ["bw://talos/token", "bws://0c3e/token", "bitwarden://x"],
    "a reference of Doppler": ["doppler://talos/prod/TOKEN"],
    "a reference of AWS": [
        "{{resolve:secretsmanager:talos:SecretString:token}}",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:talos-AbCdEf",
        "awssm://talos",
        "aws-secretsmanager://talos",
    ],
    "a reference of Google Secret Manager": [
        "projects/p/secrets/talos/versions/latest",
        "gcpsecret://p/talos",
        "sm://x",
    ],
    "a reference of Azure Key Vault": ["@Microsoft.KeyVault(SecretUri=https://x.vault.azure.net/y)", "azurekv://x/y"],
    "a reference of a secret manager": ["keeper://uid/field/password", "secret://talos/token", "infisical://x"],
    "a template of Jinja, Go or Helm": [
        "{{ ENV.MACHINE_TOKEN }}",
        "{{ .Values.token | quote }}",
        "{% if x %}a{% endif %}",
        "{{- tpl .Values.token . -}}",
        "{# TOKEN #}",
    ],
    "a variable of envsubst, a shell or Terraform": ["${MACHINE_TOKEN}", "${TOKEN:-x}", "%{TOKEN}"],
    "a redaction": [
        "******",
        "***",
        "REDACTED",
        "<redacted>",
        "[REDACTED]",
        "(sensitive value)",
        "***REDACTED***",
        "--redacted--",
        "[FILTERED]",
        "<hidden>",
        "REDACTED_BY_SCANNER",
        "********VAULTED********",
        "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER",
        "\u2022\u2022\u2022\u2022",
    ],
}
#: What is a reference only where a secret belongs.
IN_SECRETS = {
    "a variable of envsubst, a shell or Terraform": ["$MACHINE_TOKEN", "$(TOKEN)", "$env:TOKEN", "prefix-${TOKEN}"],
    "a variable of a Windows shell": ["%MACHINE_TOKEN%"],
    "a variable of Python": ["%(token)s", "{token}"],
    "a template of ERB": ["<%= token %>"],
    "a reference of Vault": ["vault:talos/token"],
    "a reference of a file or of the environment": ["file://secrets/token", "env:TOKEN", "/run/secrets/token"],
    "a placeholder in angle brackets": ["<MACHINE_TOKEN>", "<token here>"],
    "a placeholder": [
        "@TOKEN@",
        "@@TOKEN@@",
        "[TOKEN]",
        "__TOKEN__",
        "#{token}#",
        "[[token]]",
        "CHANGEME",
        "change-me",
        "replace_me",
        "your-token",
        "replace with token",
    ],
    "a redaction": ["xxxxxxxx", "...", "**", "\u2026", "redacted by ops", "hidden"],
    "a value sealed by Sealed Secrets": ["AgB" + "x" * 400],
    "a template of Jinja, Go or Helm": ["a{{ b }}"],
}


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


#: What is a reference only where a secret of a known form belongs.
IN_FORMED = {
    "a reference of Terraform": ["var.token", "data.vault_generic_secret.talos", "random_password.token.result"],
    "a placeholder": ["TODO", "n/a", "undefined", "REPLACE_WITH_TOKEN", "{}", "%s"],
}


def is_worker(config):
    return next(word for word in config.words if "." in word)


@pytest.mark.parametrize(("name", "value"), cases(REFERENCES) + cases(IN_SECRETS) + cases(IN_FORMED))
def test_an_unresolved_token_is_named_for_what_it_is(name, value):
    config = Config()
    token = is_worker(config)
    text = config.text.replace(f"token: {token}", f"token: {json.dumps(value)}", 1)
    found = [problem for problem in problems_in(text, version="v1.14.1") if problem.startswith("machine.token")]
    assert found == [f"machine.token is {name}, not the value itself"]


@pytest.mark.parametrize(("name", "value"), cases(REFERENCES))
@pytest.mark.parametrize("where", ["machine: {env: {A: %s}}", "kind: X\nlist: [{a: %s}]"])
def test_a_value_that_is_only_a_reference_is_named_anywhere(name, value, where):
    document = Configuration(where % json.dumps(value)).documents[0]
    # What has line breaks is a text, which is looked at for SOPS alone.
    named = [f"{name}, not the value itself"] if "\n" not in value else []
    assert [problem.partition(" is ")[2] for problem in problems(document)] == named


@pytest.mark.parametrize(("name", "value"), cases(IN_SECRETS))
@pytest.mark.parametrize(
    "key", ["password", "presharedKey", "privateKey", "apiToken", "identityToken", "passphrase", "key"]
)
def test_secrets_in_other_documents(name, value, key):
    document = Configuration(f"kind: X\nauth:\n  {key}: {json.dumps(value)}").documents[0]
    assert list(problems(document)) == [f"X auth.{key} is {name}, not the value itself"]


@pytest.mark.parametrize(
    "value",
    [
        "/dev/sda",
        "$(NODE_NAME)",
        "<none>",
        "https://user@example.org/${arch}/x",
        "a {{ b }} c",
        "docker.io/hashicorp/vault:1.15",
        "vault:1.15",
        "file:///etc/x",
        "hidden",
        "...",
        "/masked/",
        "aws",
        "a=<none>",
    ],
)
def test_what_may_well_be_meant(value):
    assert name_of(value, "anywhere") is None


@pytest.mark.parametrize(
    "value", ["pa$$word", "S3cr3t!", "my-secret-password", "correct horse", "$2y$10$abc", "p{a}ss"]
)
def test_what_may_well_be_a_password(value):
    assert name_of(value, "secret") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a template of Jinja, Go or Helm", "https://{{ vip }}:6443"),
        ("a variable of envsubst, a shell or Terraform", "node-${NUMBER}"),
        ("a variable of envsubst, a shell or Terraform", "https://$VIP:6443"),
        ("a placeholder in angle brackets", "https://<vip>:6443"),
        ("a placeholder", "node-@NUMBER@"),
        ("what a template of Go leaves of a value it does not have", "https://<no value>:6443"),
        ("a reference of vals", "https://ref+env://VIP+:6443"),
    ],
)
@pytest.mark.parametrize("where", ["hostname: %s", "kubelet: {image: %s}", "install: {disk: %s}"])
def test_of_a_name_or_an_address_no_part_is_left_to_be_filled_in(name, value, where):
    where = f"machine: {{network: {{{where}}}}}" if "hostname" in where else f"machine: {{{where}}}"
    found = list(problems(Configuration(where % json.dumps(value)).documents[0]))
    assert len(found) == 1 and found[0].endswith(f" is {name}, not the value itself")
    text = f"kind: KubeNetworkConfig\npodSubnets: [{json.dumps(value)}]"
    assert len(list(problems(Configuration(text).documents[0]))) == 1


def test_a_disk_is_chosen_by_a_comparison():
    text = "kind: UnattendedInstallConfig\nprovisioning: {diskSelector: {match: disk.size < 9u && disk.size > 1u}}"
    assert list(problems(Configuration(text).documents[0])) == []


def test_texts_with_a_language_of_their_own():
    text = (
        "machine:\n  files:\n    - content: '{{ a }}'\n      path: /x\n"
        "cluster:\n  inlineManifests:\n    - name: a\n      contents: |\n        token: ${TOKEN}\n        b: {{ c }}\n"
    )
    assert list(problems(Configuration(text).documents[0])) == []
    sealed = text.replace("${TOKEN}", "ENC[AES256_GCM,data:x,type:str]")
    assert list(problems(Configuration(sealed).documents[0])) == [
        "cluster.inlineManifests[0].contents is still encrypted by SOPS"
    ]


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("!vault", "!vault"),
        ("!vault |\n   $ANSIBLE_VAULT;1.1;AES256\n   3132\n", "!vault"),
        ("!ENV x", "!ENV"),
        ("!secret x", "!secret"),
        ("!Ref x", "!Ref"),
        ("!reference [x]", "!reference"),
        ("!!binary aGk=", "binary"),
        ("!!python/object:os.system x", "python/object:os.system"),
        ("!<tag:example.org,2000:x> y", "<masked>"),
    ],
)
def test_tags_that_talos_ignores(tag, shown):
    document = Configuration(f"machine:\n  token: {tag}\n").documents[0]
    assert next(problems(document)) == (
        f"machine.token has the YAML tag {shown}, which Talos ignores: "
        "the value behind it would be taken as it is written"
    )


def test_whole_documents_that_are_no_configuration():
    sealed = Configuration("kind: X\nsops: {mac: 'ENC[AES256_GCM,data:x,type:str]'}")
    assert next(problems(sealed.documents[0])) == "the document X is still encrypted by SOPS"
    assert list(problems(Configuration("kind: X\n$patch: delete").documents[0])) == [
        "the document X is not a configuration, but a patch"
    ]


def test_keys_that_may_be_values_are_not_shown():
    text = "machine:\n  hunter2 hunter2 hunter2: {password: '${X}'}\n"
    assert list(problems(Configuration(text).documents[0])) == [
        "machine.<masked>.password is a variable of envsubst, a shell or Terraform, not the value itself"
    ]
