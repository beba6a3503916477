"""When a guest's certificates end: golden snapshots bring them back, so they age with the generation."""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime

from cryptography import x509

from pool.core.errors import GuestUnhealthy
from pool.kube.client import Kube
from pool.kube.resources import SERVICES
from pool.kubevirt.cluster import API_PORT, Cluster


async def serving_certificate_ends(kube: Kube, cluster: Cluster, *, timeout: float = 10.0) -> datetime:
    """When the guest API server's own certificate ends, UTC.

    kubeadm makes all certificates of a cluster in the same minute and for the same year, so it stands for all.
    Raises GuestUnhealthy if nothing answers with TLS.
    """
    service = await kube.get(SERVICES, "cp", cluster.namespace)
    # Only its date is read here, nothing is said to it: whoever answers is verified where the pool talks to it.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = service["spec"]["clusterIP"]
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(
                address, API_PORT, ssl=context, server_hostname=cluster.server_name
            )
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        raise GuestUnhealthy(
            f"guest cluster {cluster.id}",
            expected="a certificate",
            actual=f"{type(error).__name__}: {error}",
            cure="reset the cluster",
        ) from error
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc
