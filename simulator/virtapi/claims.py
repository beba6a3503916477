"""Admission of PersistentVolumeClaims: protection, default class, quota. (Kubernetes' admission plugins.)"""

from __future__ import annotations

from decimal import Decimal

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError
from simulator.api.quantities import quantity, written
from simulator.client import Client, Obj
from simulator.controllers.claims import class_of, request
from simulator.controllers.resources import PVCS, RESOURCE_QUOTAS, STORAGE_CLASSES
from simulator.controllers.volumes import PROTECTION

COUNT, STORAGE = "persistentvolumeclaims", "requests.storage"


class ClaimAdmission:
    """Runs on every new claim; a claim beyond a ResourceQuota is refused with 403."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, admission: AdmissionRequest) -> None:
        """Raises ApiError."""
        if admission.gvr != PVCS or admission.operation != "CREATE" or admission.object is None:
            return
        claim = admission.object
        finalizers = claim["metadata"].setdefault("finalizers", [])
        if PROTECTION not in finalizers:
            finalizers.append(PROTECTION)
        if claim["spec"].get("storageClassName") is None:
            default = class_of(claim, await self._client.list(STORAGE_CLASSES))
            if default is not None:
                claim["spec"]["storageClassName"] = default["metadata"]["name"]
        await self._check_quota(admission.namespace or "", claim)

    async def _check_quota(self, namespace: str, claim: Obj) -> None:
        quotas = await self._client.list(RESOURCE_QUOTAS, namespace)
        if not quotas:
            return
        claims = await self._client.list(PVCS, namespace)
        asked = {COUNT: Decimal(1), STORAGE: quantity(request(claim))}
        used = {COUNT: Decimal(len(claims)), STORAGE: sum((quantity(request(one)) for one in claims), Decimal(0))}
        for quota in quotas:
            hard = (quota.get("spec") or {}).get("hard") or {}
            over = [key for key in (COUNT, STORAGE) if key in hard and used[key] + asked[key] > quantity(hard[key])]
            if over:
                raise _exceeded(quota, claim, over, claims)


def _exceeded(quota: Obj, claim: Obj, over: list[str], claims: list[Obj]) -> ApiError:
    hard = quota["spec"]["hard"]
    used = {COUNT: str(len(claims)), STORAGE: _total(claims)}
    asked = {COUNT: "1", STORAGE: request(claim)}
    parts = [
        f"{title}: {','.join(f'{key}={values[key]}' for key in over)}"
        for title, values in (("requested", asked), ("used", used), ("limited", hard))
    ]
    name = claim["metadata"]["name"]
    text = (
        f'persistentvolumeclaims "{name}" is forbidden: exceeded quota: {quota["metadata"]["name"]}, {", ".join(parts)}'
    )
    return ApiError(403, "Forbidden", text, {"name": name, "kind": "persistentvolumeclaims"})


def _total(claims: list[Obj]) -> str:
    return written(sum((quantity(request(one)) for one in claims), Decimal(0)), like="Gi")
