"""Admission of PersistentVolumeClaims: protection while in use, the default class. (Kubernetes' admission plugins.)"""

from __future__ import annotations

from simulator.api.admission import AdmissionRequest
from simulator.client import Client
from simulator.client.resources import PVCS, STORAGE_CLASSES
from simulator.controllers.csi.volumes import PROTECTION
from simulator.controllers.storage.claims import class_of


class ClaimAdmission:
    """Runs on every new claim."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, admission: AdmissionRequest) -> None:
        """Raises ApiError."""
        if admission.gvr != PVCS or admission.operation != "CREATE":
            return
        claim = admission.object
        finalizers = claim["metadata"].setdefault("finalizers", [])
        if PROTECTION not in finalizers:
            finalizers.append(PROTECTION)
        if claim["spec"].get("storageClassName") is None:
            default = class_of(claim, await self._client.list(STORAGE_CLASSES))
            if default is not None:
                claim["spec"]["storageClassName"] = default["metadata"]["name"]
