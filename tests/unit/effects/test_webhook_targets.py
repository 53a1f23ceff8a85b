"""The file of webhook targets: what it takes, and what it refuses with the variable, the target and the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from tradeloop.domain.actions import Action, TargetClass
from tradeloop.effects.webhook import Webhooks
from tradeloop.effects.webhook_targets import WebhookTarget, load_targets
from tradeloop.errors import SettingInvalid

GOOD = "oms: {url: 'https://oms.example/holds', honours_key: true, timeout_s: 3}"


def load(
    folder: Path, text: str, hosts: tuple[str, ...] = ("oms.example",), key: str = "s"
) -> dict[str, WebhookTarget]:
    file = folder / "webhooks.yaml"
    file.write_text(text)
    return load_targets(file, hosts, SecretStr(key))


def test_without_a_file_there_are_no_targets() -> None:
    assert load_targets(None, [], SecretStr("")) == {}


async def test_a_target_has_its_url_its_secret_and_its_class(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("other\n")
    found = load(tmp_path, f"{GOOD}\nbank: {{url: 'https://OMS.example:8443/', secret_file: {tmp_path}/secret}}")
    assert [found[name].secret.get_secret_value() for name in ("oms", "bank")] == ["s", "other"]
    async with Webhooks(found) as webhooks:
        classes = [webhooks.class_for(Action(kind="webhook", target=name)) for name in ("oms", "bank", "none")]
    assert classes == [TargetClass.KEYED, TargetClass.BLIND, TargetClass.BLIND]


def test_a_host_may_be_allowed_for_one_port_alone(tmp_path: Path) -> None:
    text = "oms: {url: 'http://127.0.0.1:8081/'}"
    assert list(load(tmp_path, text, ("127.0.0.1:8081",))) == ["oms"]
    with pytest.raises(SettingInvalid, match=r"posts to 127\.0\.0\.1, which TRADELOOP_WEBHOOK_HOSTS does not allow"):
        load(tmp_path, text, ("127.0.0.1:8082", "oms.example"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "cannot be read"),
        ("[1]", "holds list; a mapping of names is expected"),
        ("oms: https://oms.example", "oms is 'https://oms.example'; url and more are expected"),
        ("oms: {honours_key: true}", "oms.url: Field required"),
        ("oms: {url: 'https://oms.example', retries: 3}", "oms.retries: Extra inputs"),
        ("oms: {url: 'https://oms.example', timeout_s: 600}", "oms.timeout_s"),
        ("oms: {url: 'ftp://oms.example'}", "oms.url must be http"),
        ("oms: {url: 'https://me:pw@oms.example'}", "without a user"),
        ("oms: {url: 'https://oms.example:x'}", "oms.url: Port"),
        ("oms: {url: 'https://oms.example.evil.example'}", "does not allow"),
        ("oms: {url: 'https://oms.example', secret_file: /nowhere}", "oms.secret_file cannot be read"),
    ],
)
def test_what_does_not_fit_names_the_variable_and_the_place(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingInvalid, match=reason) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith("TRADELOOP_WEBHOOKS: ")


def test_a_file_that_is_not_there_and_a_target_without_a_secret_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load_targets(tmp_path / "none.yaml", [], SecretStr("s"))
    with pytest.raises(SettingInvalid, match="oms has no secret"):
        load(tmp_path, GOOD, key="")
