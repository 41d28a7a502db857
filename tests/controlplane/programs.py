"""What the programs of the control plane are told: where they listen, what they trust, which flags they get.

Nothing here starts anything; `plane.py` does. A plane's addresses are the same in each, because each has a network
namespace of its own.
"""

from __future__ import annotations

from pathlib import Path

HOST = "10.99.0.1"
PORT = 6443
SERVER = f"https://{HOST}:{PORT}"
NEW_KEY = ("-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
"""How openssl makes a key and a certificate of two days."""


def authority_arguments(folder: Path) -> list[str | Path]:
    """What makes the authority of client certificates."""
    files = ["-keyout", folder / "client-ca.key", "-out", folder / "client-ca.crt"]
    return ["req", "-x509", *NEW_KEY, "-subj", "/CN=client-ca", *files]


KWOK_FLAGS = (
    "--manage-all-nodes=true",
    "--node-lease-duration-seconds=40",
    "--cidr=10.100.0.0/16",
    "--node-ip=10.99.255.254",
)


def etcd_flags(folder: Path) -> list[str]:
    """An etcd on loopback that forgets everything with its folder."""
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def api_server_flags(folder: Path) -> list[str]:
    """RBAC, and three ways to sign in: the tokens of a file, ServiceAccounts' tokens and client certificates."""
    key = folder / "sa.key"
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--cert-dir={folder / 'certificates'}",
        f"--secure-port={PORT}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={HOST}",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--client-ca-file={folder / 'client-ca.crt'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
    ]


def controller_flags(folder: Path) -> list[str]:
    """All controllers, and no limit that tests would run into."""
    return [
        f"--service-account-private-key-file={folder / 'sa.key'}",
        "--use-service-account-credentials",
        f"--root-ca-file={folder / 'certificates' / 'apiserver.crt'}",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--leader-elect=false",
    ]
