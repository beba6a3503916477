"""CDI's mutating webhook for DataVolumes: whoever has one made of another namespace's volume may do so there.

(CDI: pkg/apiserver/webhooks/datavolume-mutate.go.) It leaves a token on the DataVolume, which nothing here asks for.
"""

from __future__ import annotations

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, Cause
from simulator.client import Client, accounts
from simulator.client.resources import NAMESPACES
from simulator.controllers.cdi.authorization import refusal
from simulator.controllers.cdi.data_sources import with_source
from simulator.controllers.cdi.datavolume import PRE_POPULATED, clone_source
from simulator.virtapi.denials import denied_by_cdi, refused

DATA_VOLUME_MUTATOR = "datavolume-mutate.cdi.kubevirt.io"


class CloneAdmission:
    """Asks for the right to each clone across namespaces; KubeVirt's own accounts have it everywhere."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, request: AdmissionRequest) -> None:
        """Raises ApiError."""
        made = request.operation == "CREATE" and not request.subresource
        if not made or (request.gvr.group, request.gvr.plural) != ("cdi.kubevirt.io", "datavolumes"):
            return
        if request.user.name in accounts.OWN or PRE_POPULATED in (request.object["metadata"].get("annotations") or {}):
            return
        try:
            volume = await with_source(self._client, request.object, request.namespace)
            source = clone_source(volume)
            if source is not None:
                await self._client.get(NAMESPACES, source[1])
        except ApiError as error:
            if error.code != 404:
                raise
            raise refused(DATA_VOLUME_MUTATOR, error.message) from error
        why = await refusal(self._client, volume, request.user.name, list(request.user.groups))
        if why:
            raise denied_by_cdi(DATA_VOLUME_MUTATOR, [Cause("spec.source.PVC.namespace", why, "FieldValueInvalid")])
