"""How long things take in the simulated infrastructure: one table, in simulated seconds, divided by the speed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Delays:
    """Durations in seconds at speed 1. `scaled` gives the table for a faster clock.

    | field          | from, to                                                         |
    |----------------|------------------------------------------------------------------|
    | provision      | PVC created, blank volume bound                                  |
    | image_import   | PVC with an import endpoint, bound with the image on it          |
    | clone          | volume cloned by the storage, or by two pods whatever its size   |
    | copy_gib       | each GiB that two pods copy, where the storage cannot clone      |
    | snapshot_create| VolumeSnapshot created, point in time taken (creationTime)       |
    | snapshot_ready | point in time taken, readyToUse                                  |
    | snapshot_unlock| VirtualMachineSnapshot Succeeded, its VM unlocked                |
    | restore_pvc    | PVC with a VolumeSnapshot source, bound with the content on it   |
    | pod_schedule   | pod created, bound to a node                                     |
    | pod_start      | pod bound, Running                                               |
    | domain_start   | VMI Scheduled, Running                                           |
    | boot           | VMI Running, the guest's userspace (cloud-init, kubelet) starts  |
    | step           | a step of a first-boot script begun, under way                   |
    | packages       | Kubernetes' packages asked for, installed                        |
    | kubeadm_init   | first boot of a control plane, API server answering              |
    | kubeadm_join   | first boot of a worker with its control plane up, node joined    |
    | api_start      | later boots of a control plane, API server answering             |
    | reboot_ready   | API server answering after a later boot, kubelet reports Ready   |
    | shutdown       | ACPI shutdown request, clean power-off                           |
    | kill           | forced stop, domain destroyed                                    |
    | kubelet_lease  | between two renewals of a node lease                             |
    | node_grace     | last lease renewal, node marked Ready=Unknown                    |
    | pod_run        | guest pod bound, Running                                         |
    | retry          | a controller that waits for something without an event           |
    """

    provision: float = 1.0
    image_import: float = 10.0
    clone: float = 5.0
    copy_gib: float = 10.0
    snapshot_create: float = 1.0
    snapshot_ready: float = 2.0
    snapshot_unlock: float = 2.5
    restore_pvc: float = 4.0
    pod_schedule: float = 1.0
    pod_start: float = 2.0
    domain_start: float = 2.0
    boot: float = 20.0
    step: float = 0.2
    packages: float = 120.0
    kubeadm_init: float = 30.0
    kubeadm_join: float = 15.0
    api_start: float = 5.0
    reboot_ready: float = 15.0
    shutdown: float = 6.0
    kill: float = 0.5
    kubelet_lease: float = 10.0
    node_grace: float = 40.0
    pod_run: float = 2.0
    retry: float = 5.0
    restore_grace: float = 300.0
    """Seconds a VirtualMachineRestore of policy WaitGracePeriod waits for its target. A deadline, so never scaled:
    a slow machine would miss it. (KubeVirt: 5 minutes.)"""
    lease_floor: float = 1.0
    """Shortest real interval in seconds between lease renewals of one node, whatever the speed, to keep many guests
    cheap; `node_grace` is kept at four of them or more."""

    speed: float = 1.0
    """How many simulated seconds pass in a real one; scales a VM's termination grace period."""

    def copy(self, size: Decimal) -> float:
        """Seconds in which two pods copy `size` bytes."""
        return self.clone + self.copy_gib * float(size) / 2**30

    def scaled(self, speed: float) -> Delays:
        """The same table with a clock that runs `speed` times as fast (speed > 0)."""
        kept = {"restore_grace", "lease_floor", "speed"}
        values = {
            field.name: getattr(self, field.name) / (1 if field.name in kept else speed)
            for field in dataclasses.fields(self)
        }
        values["speed"] = self.speed * speed
        values["kubelet_lease"] = max(values["kubelet_lease"], self.lease_floor)
        values["node_grace"] = max(values["node_grace"], 4 * values["kubelet_lease"])
        return Delays(**values)
