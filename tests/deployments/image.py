"""The image, built from its Containerfile, and its containers run as the manifests say.

That is a user of its own without capabilities, who is process 1 of what it sees, on a root that nobody writes to, with
the pod's volumes, environment and account and nothing else. Needs root and Debian's `buildah`, and `mmdebstrap` for
the base: no registry is asked for anything.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from demo.processes import Child, start
from pool.kube.client import Object
from tests.deployments.installed import HOME, ROOT, Installation
from tests.deployments.overlays import containers, pods
from tests.pool.rights import kubeconfig_of

ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
"""Through the link /var/run, which would lead out of the image."""
BASE = "localhost/cks-pool-base"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

MAKE_BASE = f"""
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \\
    --customize-hook='copy-in {CERTIFICATES} {Path(CERTIFICATES).parent}' bookworm "$folder/base.tar"
printf 'FROM scratch\\nADD base.tar /\\n' > "$folder/Containerfile"
buildah build --quiet --tag {BASE} "$folder"
"""
"""Debian's Python, and the certificates by which this machine reaches the package index."""

CONTAINER = """
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root${1#*:}"; mount --bind "${1%%:*}" "$root${1#*:}"; shift
done; shift
mount -t proc proc "$root/proc"; mount --bind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" env -i "$@"
"""
"""Root and user, volumes as `folder:place`, `--`, environment and command."""


def missing() -> str:
    """Why no image is built and run here; empty if one is."""
    if absent := [name for name in ("buildah", "mmdebstrap", "unshare", "setpriv") if shutil.which(name) is None]:
        return f"needs {', '.join(absent)}"
    alone = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return "" if os.geteuid() == 0 and alone.returncode == 0 else "needs root that may mount"


def _run(*command: str) -> str:
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def build(name: str) -> str:
    """Build the image as people do. Returns its ID, a hash of all that is in it."""
    if not _run("buildah", "images", "--quiet", "--filter", f"reference={BASE}"):
        _run("sh", "-euc", MAKE_BASE)
    _run("make", "image", "BUILDER=buildah", f"BASE={BASE}", f"IMAGE={name}")
    return _run("buildah", "images", "--quiet", "--no-trunc", name)


@dataclass(frozen=True)
class Image:
    """What is in it, unpacked, and how it says it is to be started."""

    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """Of each container that is started from it."""
        return dict(one.split("=", 1) for one in self.config["Env"])

    def command(self, one: Object, context: Object, volumes: list[str], environment: dict[str, str]) -> list[str]:
        """What runs a pod's container. `context`: the pod's securityContext."""
        assert one["securityContext"]["readOnlyRootFilesystem"] is True
        user = f"{context['runAsUser']}:{context['runAsGroup']}"
        words = one.get("command", self.config["Entrypoint"]) + one.get("args", [])
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", CONTAINER, "sh"]
        given = [f"{name}={value}" for name, value in environment.items()]
        return [*alone, str(self.root), user, *volumes, "--", *given, *words]


@contextmanager
def unpacked(name: str) -> Iterator[Image]:
    """The image's files, for as long as it is entered."""
    container = _run("buildah", "from", "--pull-never", name)
    try:
        config = json.loads(_run("buildah", "inspect", "--type", "image", name))["OCIv1"]["config"]
        yield Image(Path(_run("buildah", "mount", container)), config)
    finally:
        _run("buildah", "rm", container)


@dataclass
class FromImage(Installation):
    """An installation whose processes are the image's containers."""

    image: Image
    _numbers = count()

    def places(self, tls: Path, tokens: Path) -> dict[str, str]:
        """None: they are where the manifests mount them."""
        return {}

    async def run(self, workload: str, container: str = "", **environment: str) -> Child:
        """Start a container of a workload in what its pod gives it. `environment`: what is elsewhere than there."""
        spec = dict(pods("complete"))[workload]["spec"]
        one = next(one for one in containers({"spec": spec}) if container in ("", one["name"]))
        given = self.image.environment | await self.given_to(one)
        if "serviceAccountName" in spec:
            given |= self._servers()
        volumes = await self._volumes(workload, spec, one)
        name = f"{container or workload}-{next(self._numbers)}"
        command = self.image.command(one, spec["securityContext"], volumes, given | environment)
        return await start(name, command, log=self.folder / f"{name}.log", env={})

    def _servers(self) -> dict[str, str]:
        """Where Prefect's and the host's are."""
        (cluster,) = yaml.safe_load(self.given.read_text())["clusters"]
        api = urlsplit(cluster["cluster"]["server"])
        host = {"KUBERNETES_SERVICE_HOST": api.hostname or "", "KUBERNETES_SERVICE_PORT": str(api.port)}
        return {"PREFECT_API_URL": self.prefect} | host

    async def _volumes(self, workload: str, spec: Object, one: Object) -> list[str]:
        secrets = {volume["name"]: volume["secret"] for volume in spec["volumes"] if "secret" in volume}
        accounts = [volume["name"] for volume in spec["volumes"] if "projected" in volume]
        found = {}
        for mount in one.get("volumeMounts", []):
            name = mount["name"]
            if name in accounts:
                found[ACCOUNT] = await self._account(spec["serviceAccountName"])
            elif name in secrets:
                found[mount["mountPath"]] = await self.mounted(secrets[name]["secretName"])
            else:
                found[mount["mountPath"]] = self.written(workload, name)
        if spec.get("automountServiceAccountToken", True):
            found[ACCOUNT] = await self._account(spec["serviceAccountName"])
        return [f"{folder}:{place}" for place, folder in found.items()]

    def written(self, workload: str, volume: str) -> Path:
        """A folder that the pod writes to."""
        folder = self.folder / f"{workload}-{volume}"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        return folder

    async def _account(self, account: str) -> Path:
        folder = self.folder / f"account-{account}"
        folder.mkdir(exist_ok=True)
        kubeconfig = await kubeconfig_of(account, self.admin, self.given, self.folder / account)
        config = yaml.safe_load(kubeconfig.read_text())
        (folder / "token").write_text(config["users"][0]["user"]["token"])
        (folder / "namespace").write_text(HOME)
        certificate = config["clusters"][0]["cluster"]["certificate-authority-data"]
        (folder / "ca.crt").write_bytes(base64.b64decode(certificate))
        return folder
