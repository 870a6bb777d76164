"""Certificates of a sandbox: an authority of its own, the server's and an administrator's."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of one sandbox, all PEM."""

    authority: Path
    server: Path
    server_key: Path
    admin: Path
    admin_key: Path
    issuer: "Authority"


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs further certificates of the same sandbox; its key is kept in memory only."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey

    def client(self, folder: Path, user: str, group: str = "") -> tuple[Path, Path]:
        """Certificate and key of somebody who talks to the API server."""
        files = folder / f"{user.replace(':', '-')}.pem", folder / f"{user.replace(':', '-')}.key"
        _leaf(*files, _name(user, group), self.name, self.key, None)
        return files

    def server(self, folder: Path, user: str, group: str, address: str) -> tuple[Path, Path]:
        """Certificate and key of a server at this address, such as a kubelet."""
        files = folder / f"{user.replace(':', '-')}-serving.pem", folder / f"{user.replace(':', '-')}-serving.key"
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address))]
        _leaf(*files, _name(user, group), self.name, self.key, names)
        return files


def issue(folder: Path, addresses: Sequence[str] = ()) -> Certificates:
    """Write a new set into `folder` (readable by the owner only). The server also answers at `addresses`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    name = _name("cloudai-sandbox-authority")
    authority = (
        _builder(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    paths = [folder / file for file in ("ca.pem", "server.pem", "server.key", "admin.pem", "admin.key")]
    ca, server, server_key, admin, admin_key = paths
    files = Certificates(ca, server, server_key, admin, admin_key, Authority(name, authority_key))
    files.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName("kubernetes.default.svc")]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "10.96.0.1", *addresses)]
    _leaf(files.server, files.server_key, _name("kube-apiserver"), name, authority_key, names)
    _leaf(files.admin, files.admin_key, _name("sandbox-admin", "system:masters"), name, authority_key, None)
    return files


def _leaf(
    file: Path,
    key_file: Path,
    subject: x509.Name,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    server_names: list[x509.GeneralName] | None,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject, issuer, key.public_key())
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if server_names is None else ExtendedKeyUsageOID.SERVER_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if server_names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(server_names), critical=False)
    file.write_bytes(builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _VALID)
    )


def _name(common: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)
