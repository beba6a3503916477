"""Examples of the API's description."""

from __future__ import annotations

from typing import Any

POOL: dict[str, Any] = {
    "content": {
        "application/json": {
            "example": {
                "name": "default",
                "size": 3,
                "removing": False,
                "waiting": 0,
                "stats": {
                    "totalClusters": 3,
                    "creatingClusters": 0,
                    "availableClusters": 2,
                    "lockedClusters": 1,
                    "resettingClusters": 0,
                    "errorClusters": 0,
                    "statusByCluster": {"cluster1": "locked", "cluster2": "available", "cluster3": "available"},
                },
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "AllMade",
                        "message": "3 of 3 clusters are made: 2 available, 1 locked",
                        "lastTransitionTime": "2026-11-29T08:40:12Z",
                        "observedGeneration": 1,
                    }
                ],
            }
        }
    }
}
CLUSTER: dict[str, Any] = {
    "content": {
        "application/json": {
            "example": {
                "clusterId": "cluster1",
                "namespace": "cluster1",
                "status": "locked",
                "assignedSession": "alice-7f3a",
                "lockTime": "2026-11-29T09:00:00Z",
                "lastReset": "2026-11-29T08:40:12Z",
                "controlPlaneVM": "cp-cluster1",
                "workerNodeVM": "wk-cluster1",
                "createdAt": "2026-11-28T16:02:51Z",
                "lastHealthCheck": "2026-11-29T08:40:12Z",
                "cordoned": False,
            }
        }
    }
}
