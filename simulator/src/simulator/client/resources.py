"""The resources the controllers read and write."""

from __future__ import annotations

from simulator.client import GVR

VMS = GVR("kubevirt.io", "v1", "virtualmachines")
VMIS = GVR("kubevirt.io", "v1", "virtualmachineinstances")
VM_SNAPSHOTS = GVR("snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshots")
VM_SNAPSHOT_CONTENTS = GVR("snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshotcontents")
VM_RESTORES = GVR("snapshot.kubevirt.io", "v1beta1", "virtualmachinerestores")
DATA_VOLUMES = GVR("cdi.kubevirt.io", "v1beta1", "datavolumes")
DATA_SOURCES = GVR("cdi.kubevirt.io", "v1beta1", "datasources")
STORAGE_PROFILES = GVR("cdi.kubevirt.io", "v1beta1", "storageprofiles")
VOLUME_SNAPSHOTS = GVR("snapshot.storage.k8s.io", "v1", "volumesnapshots")
VOLUME_SNAPSHOT_CONTENTS = GVR("snapshot.storage.k8s.io", "v1", "volumesnapshotcontents")
VOLUME_SNAPSHOT_CLASSES = GVR("snapshot.storage.k8s.io", "v1", "volumesnapshotclasses")
STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
PVCS = GVR("", "v1", "persistentvolumeclaims")
PVS = GVR("", "v1", "persistentvolumes")
PODS = GVR("", "v1", "pods")
NODES = GVR("", "v1", "nodes")
SECRETS = GVR("", "v1", "secrets")
SERVICES = GVR("", "v1", "services")
ENDPOINTS = GVR("", "v1", "endpoints")
EVENTS = GVR("", "v1", "events")
NAMESPACES = GVR("", "v1", "namespaces")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
SUBJECT_ACCESS_REVIEWS = GVR("authorization.k8s.io", "v1", "subjectaccessreviews")
DAEMON_SETS = GVR("apps", "v1", "daemonsets")
CONTROLLER_REVISIONS = GVR("apps", "v1", "controllerrevisions")
