"""kubeconfig files as kubectl heeds them, or refused by name."""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudai_kube import connection
from cloudai_kube.errors import ConfigurationError


def kubeconfig(folder: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> str:
    """A file with one context."""
    body = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
    }
    file = folder / "config"
    file.write_text(yaml.safe_dump(body))
    return str(file)


async def test_token_and_address(tmp_path: Path) -> None:
    """The plain case."""
    found = connection.load(kubeconfig(tmp_path))
    assert (found.server, await found.authorization()) == ("https://127.0.0.1:6443", "Bearer t")
    assert found.ssl_context is not None
    assert found.ssl_context.verify_mode == ssl.CERT_REQUIRED


def test_fields_that_kubectl_heeds(tmp_path: Path) -> None:
    """tls-server-name, proxy-url and insecure-skip-tls-verify."""
    found = connection.load(kubeconfig(tmp_path, {"tls-server-name": "api.example", "proxy-url": "http://p:3128"}))
    assert (found.server_name, found.proxy) == ("api.example", "http://p:3128")
    found = connection.load(kubeconfig(tmp_path, {"insecure-skip-tls-verify": True}))
    assert found.ssl_context is not None
    assert (found.ssl_context.verify_mode, found.ssl_context.check_hostname) == (ssl.CERT_NONE, False)


async def test_a_token_file_that_is_rotated(tmp_path: Path) -> None:
    """Read anew once the old token is refused."""
    file = tmp_path / "token"
    file.write_text("old")
    found = connection.load(kubeconfig(tmp_path, user={"tokenFile": str(file)}))
    assert await found.authorization() == "Bearer old"
    file.write_text("new")
    assert await found.renew("Bearer old")
    assert await found.authorization() == "Bearer new"
    assert not await found.renew("Bearer new")  # read a moment ago


async def test_an_exec_plug_in_without_expiry(tmp_path: Path) -> None:
    """Asked again once its token is refused."""
    plug_in = tmp_path / "plug-in"
    credential = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
    plug_in.write_text(f"#!/bin/sh\necho x >> {tmp_path}/asked\nprintf '{credential}' t$(wc -l < {tmp_path}/asked)\n")
    plug_in.chmod(0o700)
    asked = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plug_in)}
    found = connection.load(kubeconfig(tmp_path, user={"exec": asked}))
    first = await found.authorization()
    assert await found.renew(first)
    assert await found.authorization() != first


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"proxy-url": "socks5://p:1080"}, {}, "proxy-url"),
        ({"proxy-url": "socks5://user:s3cret@p:1080"}, {}, r"proxy-url socks5://\*\*\*@p:1080 "),
        ({}, {"as": "admin"}, "'as'"),
        ({}, {"as-groups": ["system:masters"]}, "'as-groups'"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], message: str
) -> None:
    """Else we would act in another name, or by another road, than kubectl does."""
    with pytest.raises(ConfigurationError, match=message):
        connection.load(kubeconfig(tmp_path, cluster, user))


def test_no_configuration_at_all(tmp_path: Path) -> None:
    """An error that says what to do."""
    with pytest.raises(ConfigurationError, match="set KUBECONFIG"):
        connection.load(str(tmp_path / "none"))


async def test_a_token_file_with_a_final_newline(tmp_path: Path) -> None:
    """As `echo token > file` makes it: the header must not have it. A file that is gone changes nothing."""
    file = tmp_path / "token"
    file.write_text("abc\n")
    found = connection.load(kubeconfig(tmp_path, user={"tokenFile": str(file)}))
    assert await found.authorization() == "Bearer abc"


@pytest.mark.parametrize(
    "text",
    [
        "clusters: [",
        "[]",
        "just text",
        "contexts: 7",
        "{current-context: c, contexts: [{}], clusters: [], users: []}",
        "\x00",
        "[" * 20_000,
        "a: 2026-13-45",
    ],
)
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    """One message, no traceback."""
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        connection.load(str(file))


def test_certificates_that_are_none(tmp_path: Path) -> None:
    """The same."""
    rubbish = base64.b64encode(b"no certificate").decode()
    with pytest.raises(ConfigurationError, match="certificates"):
        connection.load(kubeconfig(tmp_path, {"certificate-authority-data": rubbish}))


async def test_a_kubeconfig_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 401 it cannot be read for a moment: the old token stays, and nothing is raised."""
    monkeypatch.setattr(connection, "RENEW_SECONDS", 0.0)
    path = kubeconfig(tmp_path)
    found = connection.load(path)
    await asyncio.to_thread(Path(path).write_text, "clusters: [")
    assert not await found.renew("Bearer t")
    assert await found.authorization() == "Bearer t"
    kubeconfig(tmp_path, user={"token": "new"})
    assert await found.renew("Bearer t")
    assert await found.authorization() == "Bearer new"
