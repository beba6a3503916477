"""A two-VM kubeadm cluster in a namespace, as a client of the simulator would make it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.http_api import Api, Obj

CORE, APPS = "/api/v1", "/apis"
TEMPLATES = "vm-templates"
TOKEN = "abcdef.0123456789abcdef"
POWER = "/apis/subresources.kubevirt.io/v1"


def kubevirt(namespace: str, plural: str = "virtualmachines", name: str = "") -> str:
    return f"/apis/kubevirt.io/v1/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def snapshots(namespace: str, plural: str = "virtualmachinesnapshots", name: str = "") -> str:
    return f"/apis/snapshot.kubevirt.io/v1beta1/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def core(namespace: str, plural: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def pem(key: Any) -> str:
    encoding = serialization.Encoding.PEM
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


@dataclass
class Ca:
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
        self.certificate = (
            self._builder(name, name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, issuer: x509.Name, public: Any) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=3650))
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def hash(self) -> str:
        spki = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return f"sha256:{hashlib.sha256(spki).hexdigest()}"

    def client(self, name: str, *groups: str) -> tuple[str, str]:
        """A client certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name)]
            + [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        )
        certificate = (
            self._builder(subject, self.certificate.subject, key.public_key())
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), pem(key)


def wireguard() -> tuple[str, str]:
    """A private key and its public key."""
    key = X25519PrivateKey.generate()
    raw = serialization.Encoding.Raw
    private = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    public = key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
    return base64.b64encode(private).decode(), base64.b64encode(public).decode()


FIRST_BOOT = """#!/bin/bash
readonly finished=/etc/lab/done
if [ -e "$finished" ]; then exit 0; fi
echo '{api} cp.{namespace}.svc' >>/etc/hosts
kubeadm {verb} --config /etc/lab/kubeadm.yaml
touch "$finished"
"""


@dataclass
class Lab:
    """One cluster: `cp` and `wk` with their Secrets and Services."""

    api: Api
    directory: Path
    namespace: str = "lab"
    ca: Ca = field(default_factory=Ca)
    advertise: str = "10.99.0.1"
    join_token: str = TOKEN
    ca_hash: str = ""
    wk_peer_key: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """More files for both nodes, and commands of their first boot."""
    commands: list[str] = field(default_factory=list)

    async def prepare(self) -> None:
        """Golden image, namespace, the right to clone, Services."""
        api = self.api
        if await api.find(f"{CORE}/namespaces/{TEMPLATES}") is None:
            await api.create(f"{CORE}/namespaces", {"metadata": {"name": TEMPLATES}})
            source = {"registry": {"url": "docker://golden"}}
            storage = {"resources": {"requests": {"storage": "10Gi"}}}
            await api.create(
                f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{TEMPLATES}/datavolumes",
                {
                    "apiVersion": "cdi.kubevirt.io/v1beta1",
                    "kind": "DataVolume",
                    "metadata": {"name": "golden"},
                    "spec": {"source": source, "storage": storage},
                },
            )
            rbac = "/apis/rbac.authorization.k8s.io/v1"
            await api.create(
                f"{rbac}/namespaces/{TEMPLATES}/roles",
                {
                    "metadata": {"name": "cloner"},
                    "rules": [{"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"], "verbs": ["*"]}],
                },
            )
        await api.create(f"{CORE}/namespaces", {"metadata": {"name": self.namespace}})
        await self.allow_cloning()
        for name, role, port, protocol in (
            ("cp", "control-plane", 6443, "TCP"),
            ("cp-wireguard", "control-plane", 51820, "UDP"),
            ("wk-wireguard", "worker", 51820, "UDP"),
        ):
            spec = {
                "selector": {"role": role},
                "publishNotReadyAddresses": True,
                "ports": [{"name": "port", "port": port, "protocol": protocol}],
            }
            await api.create(core(self.namespace, "services"), {"metadata": {"name": name}, "spec": spec})

    async def allow_cloning(self) -> None:
        group = f"system:serviceaccounts:{self.namespace}"
        await self.api.create(
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/{TEMPLATES}/rolebindings",
            {
                "metadata": {"name": f"cloner-{self.namespace}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "cloner"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
            },
        )

    async def create(self, *, strategy: str = "Always") -> None:
        keys = {"cp": wireguard(), "wk": wireguard()}
        for name, peer, own in (("cp", "wk", "10.99.0.1"), ("wk", "cp", "10.99.0.2")):
            public = self.wk_peer_key if name == "wk" and self.wk_peer_key else keys[peer][1]
            data = self.userdata(name, own, keys[name][0], public, peer)
            encoded = base64.b64encode(data.encode()).decode()
            secret = {"metadata": {"name": f"{name}-cloudinit"}, "data": {"userdata": encoded}}
            await self.api.create(core(self.namespace, "secrets"), secret)
            await self.api.create(kubevirt(self.namespace), self.vm(name, strategy=strategy))

    def userdata(self, name: str, own: str, private: str, peer_public: str, peer: str) -> str:
        other = "10.99.0.2" if own == "10.99.0.1" else "10.99.0.1"
        endpoint = f"{peer}-wireguard.{self.namespace}.svc:51820"
        netdev = (
            f"[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKey={private}\n"
            f"[WireGuardPeer]\nPublicKey={peer_public}\nAllowedIPs={other}/32\nEndpoint={endpoint}\n"
        )
        verb = "init" if name == "cp" else "join"
        boot = FIRST_BOOT.format(api="127.0.0.1" if name == "cp" else other, namespace=self.namespace, verb=verb)
        files = {
            "/etc/systemd/network/wg0.netdev": netdev,
            "/etc/systemd/network/wg0.network": f"[Match]\nName=wg0\n[Network]\nAddress={own}/30\n",
            "/etc/lab/kubeadm.yaml": self.kubeadm(name),
            "/usr/local/sbin/boot": boot,
            **self.files,
        }
        if name == "cp":
            files |= {"/etc/kubernetes/pki/ca.crt": self.ca.pem, "/etc/kubernetes/pki/ca.key": pem(self.ca.key)}
        config = {
            "hostname": name,
            "write_files": [{"path": path, "content": content} for path, content in files.items()],
            "runcmd": [*self.commands, ["/usr/local/sbin/boot"]],
        }
        return "#cloud-config\n" + yaml.safe_dump(config)

    def kubeadm(self, name: str) -> str:
        version = "kubeadm.k8s.io/v1beta4"
        endpoint = f"cp.{self.namespace}.svc:6443"
        if name == "wk":
            token = {
                "apiServerEndpoint": endpoint,
                "token": self.join_token,
                "caCertHashes": [self.ca_hash or self.ca.hash],
            }
            join = {"apiVersion": version, "kind": "JoinConfiguration", "discovery": {"bootstrapToken": token}}
            return yaml.safe_dump(join)
        init = {
            "apiVersion": version,
            "kind": "InitConfiguration",
            "bootstrapTokens": [{"token": TOKEN}],
            "localAPIEndpoint": {"advertiseAddress": self.advertise, "bindPort": 6443},
        }
        cluster = {
            "apiVersion": version,
            "kind": "ClusterConfiguration",
            "controlPlaneEndpoint": endpoint,
            "kubernetesVersion": "v1.32.0",
            "apiServer": {"certSANs": [f"cp.{self.namespace}.svc"]},
        }
        return yaml.safe_dump_all([init, cluster])

    def vm(self, name: str, *, strategy: str = "Always", grace: int = 120) -> Obj:
        disk = f"{name}-rootdisk"
        labels = {"role": "control-plane" if name == "cp" else "worker"}
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachine",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "runStrategy": strategy,
                "dataVolumeTemplates": [
                    {
                        "metadata": {"name": disk, "labels": labels},
                        "spec": {
                            "source": {"pvc": {"namespace": TEMPLATES, "name": "golden"}},
                            "storage": {"resources": {"requests": {"storage": "10Gi"}}},
                        },
                    }
                ],
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": grace,
                        "domain": {
                            "firmware": {"uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{self.namespace}"))},
                            "devices": {
                                "disks": [{"name": "rootdisk", "disk": {}}, {"name": "cloudinit", "disk": {}}],
                                "interfaces": [{"name": "pod", "masquerade": {}}],
                            },
                        },
                        "networks": [{"name": "pod", "pod": {}}],
                        "volumes": [
                            {"name": "rootdisk", "dataVolume": {"name": disk}},
                            {"name": "cloudinit", "cloudInitNoCloud": {"secretRef": {"name": f"{name}-cloudinit"}}},
                        ],
                    },
                },
            },
        }

    # What is done with it

    async def power(self, name: str, action: str, body: Obj | None = None) -> None:
        path = f"{POWER}/namespaces/{self.namespace}/virtualmachines/{name}/{action}"
        code, answer = await self.api.call("PUT", path, body)
        assert (code, answer) == (202, ""), answer

    async def start(self) -> None:
        for name in ("cp", "wk"):
            await self.power(name, "start")

    async def stop(self, grace: int | None = None) -> None:
        body = None if grace is None else {"gracePeriod": grace}
        for name in ("cp", "wk"):
            await self.power(name, "stop", body)
        for name in ("cp", "wk"):
            await self.api.until(kubevirt(self.namespace, "virtualmachineinstances", name), lambda vmi: vmi is None)

    async def running(self, name: str = "cp") -> Obj:
        path = kubevirt(self.namespace, "virtualmachines", name)
        vm: Obj = await self.api.until(path, lambda vm: vm if vm and (vm.get("status") or {}).get("ready") else None)
        return vm

    async def snapshot(self, *names: str) -> None:
        for name in names or ("cp", "wk"):
            source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": name}
            body = {
                "apiVersion": "snapshot.kubevirt.io/v1beta1",
                "kind": "VirtualMachineSnapshot",
                "metadata": {"name": f"{name}-snap"},
                "spec": {"source": source},
            }
            await self.api.create(snapshots(self.namespace), body)
        for name in names or ("cp", "wk"):
            path = snapshots(self.namespace, "virtualmachinesnapshots", f"{name}-snap")
            await self.api.until(path, lambda snap: snap and (snap.get("status") or {}).get("readyToUse"))
            await self.api.until(
                kubevirt(self.namespace, "virtualmachines", name),
                lambda vm: vm and vm.get("status") and not vm["status"].get("snapshotInProgress"),
            )

    async def restore(self, run: str, *names: str, **spec: Any) -> None:
        for name in names or ("cp", "wk"):
            await self.begin_restore(f"{name}-{run}", name, **spec)
        for name in names or ("cp", "wk"):
            path = snapshots(self.namespace, "virtualmachinerestores", f"{name}-{run}")
            await self.api.until(path, lambda one: one and (one.get("status") or {}).get("complete"))

    async def begin_restore(self, restore: str, vm: str, **spec: Any) -> Obj:
        target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
        body = {
            "apiVersion": "snapshot.kubevirt.io/v1beta1",
            "kind": "VirtualMachineRestore",
            "metadata": {"name": restore},
            "spec": {"target": target, "virtualMachineSnapshotName": f"{vm}-snap", **spec},
        }
        return await self.api.create(snapshots(self.namespace, "virtualmachinerestores"), body)

    async def never_bind(self, storage_class: str) -> None:
        """Let no claim of a class bind from now on."""
        await with_parameters(self.api, storage_class, binding="never")

    @asynccontextmanager
    async def guest(self, user: str = "admin", *groups: str) -> AsyncIterator[Guest]:
        """The guest's API through the Service `cp`, with a client certificate of the cluster's CA."""
        certificate, key = self.ca.client(user, *(groups or ("system:masters",)))
        service = await self.api.get(core(self.namespace, "services", "cp"))
        context = ssl.create_default_context(cadata=self.ca.pem)
        chain = self.directory / f"{self.namespace}-{uuid.uuid4().hex}.pem"
        chain.write_text(certificate + key)
        context.load_cert_chain(chain)
        name = f"cp.{self.namespace}.svc"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=True)) as session:
            yield Guest(session, f"https://{service['spec']['clusterIP']}:6443", name)


class Guest(Api):
    """The API inside a VM."""

    def __init__(self, session: aiohttp.ClientSession, url: str, server_name: str) -> None:
        super().__init__(session, url)
        request = session.request
        get = session.get
        session.request = lambda *args, **kwargs: request(*args, server_hostname=server_name, **kwargs)  # type: ignore[method-assign]
        session.get = lambda *args, **kwargs: get(*args, server_hostname=server_name, **kwargs)  # type: ignore[method-assign]

    async def answers(self, code: int = 200, *, timeout: float = 20.0) -> str:
        """Wait until /readyz answers with `code`; what it says. The port is not open before, so there is nothing to
        watch: try again."""
        async with asyncio.timeout(timeout):
            while True:
                try:
                    found, said = await self.call("GET", "/readyz")
                    if found == code:
                        return str(said)
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(0.01)

    async def ready(self, *nodes: str, timeout: float = 20.0) -> dict[str, Obj]:
        """The nodes once all are Ready, with Ready set since this call or before."""
        await self.answers(timeout=timeout)
        found = {}
        for node in nodes or ("cp", "wk"):
            found[node] = await self.until(f"{CORE}/nodes/{node}", node_ready, timeout=timeout)
        return found


def node_ready(node: Obj | None) -> Obj | None:
    conditions = ((node or {}).get("status") or {}).get("conditions") or []
    return node if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions) else None


async def with_parameters(api: Api, storage_class: str, **parameters: str) -> None:
    """Give a StorageClass other parameters. Those do not change, so it is made anew."""
    path = f"/apis/storage.k8s.io/v1/storageclasses/{storage_class}"
    found = await api.get(path)
    await api.delete(path)
    meta = {key: found["metadata"][key] for key in ("name", "annotations") if key in found["metadata"]}
    fields = {key: value for key, value in found.items() if key != "metadata"}
    await api.create(path.rpartition("/")[0], {**fields, "metadata": meta, "parameters": parameters})
