"""What the API server fills into workloads and budgets, and what it refuses there. (Kubernetes: pkg/apis/apps, batch,
policy.)"""

from __future__ import annotations

from typing import Any

from simulator.api.errors import Cause, required
from simulator.api.values import shown

Obj = dict[str, Any]
REQUIRED = "FieldValueRequired"


def pod_spec(spec: Obj) -> None:
    """The defaults of every pod, in a template as well."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        container.setdefault("imagePullPolicy", _pull_policy(container.get("image") or ""))
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        for port in container.get("ports") or []:
            port.setdefault("protocol", "TCP")


def _pull_policy(image: str) -> str:
    """Always for the tag `latest`, which is meant when there is none; a digest is never pulled twice."""
    if "@" in image:
        return "IfNotPresent"
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _template(spec: Obj) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])


def deployment(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.get("strategy") or {}
    spec["strategy"] = strategy
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
        strategy["rollingUpdate"] = {**rolling, **(strategy.get("rollingUpdate") or {})}
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    _template(spec)
    if old is None:
        obj["status"] = {}


def stateful_set(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("revisionHistoryLimit", 10)
    _template(spec)
    if old is None:
        obj["status"] = {"replicas": 0}


def job(obj: Obj, old: Obj | None) -> None:
    _job_spec(obj.setdefault("spec", {}))
    if old is None:
        obj["status"] = {}


def _job_spec(spec: Obj) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    for field, value in (("parallelism", 1), ("backoffLimit", 6), ("completionMode", "NonIndexed"), ("suspend", False)):
        spec.setdefault(field, value)
    _template(spec)


def cron_job(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    _template((spec.get("jobTemplate") or {}).get("spec") or {})
    if old is None:
        obj["status"] = {}


def ingress(obj: Obj, old: Obj | None) -> None:
    if old is None:
        obj["status"] = {"loadBalancer": {}}


def budget(obj: Obj, old: Obj | None) -> None:
    if old is None:
        obj["status"] = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}


def selected_faults(obj: Obj, old: Obj | None) -> list[Cause]:
    """Of a Deployment or StatefulSet: its selector must find its own pods, and stays as it is."""
    spec = obj["spec"]
    selector = spec.get("selector") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    causes = _container_faults(spec, "spec")
    if spec["replicas"] < 0:
        text = f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"
        causes.append(Cause("spec.replicas", text))
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(Cause("spec.selector", "Required value", REQUIRED))
    elif any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        text = f"Invalid value: {shown(labels)}: `selector` does not match template `labels`"
        causes.append(Cause("spec.template.metadata.labels", text))
    if old is not None and selector != old["spec"].get("selector"):
        causes.append(Cause("spec.selector", f"Invalid value: {shown(selector)}: field is immutable"))
    return causes


def job_faults(obj: Obj, old: Obj | None) -> list[Cause]:
    return _job_faults(obj["spec"], "spec")


def _job_faults(spec: Obj, path: str) -> list[Cause]:
    causes = _container_faults(spec, path)
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy not in ("Never", "OnFailure"):
        text = 'valid values: "OnFailure", "Never"'
        causes.append(required(f"{path}.template.spec.restartPolicy", text))
    return causes


def cron_job_faults(obj: Obj, old: Obj | None) -> list[Cause]:
    spec = obj["spec"]
    causes = _job_faults((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")
    schedule = str(spec.get("schedule") or "")
    if not schedule:
        causes.append(Cause("spec.schedule", "Required value", REQUIRED))
    elif not schedule.startswith("@") and len(schedule.split()) != 5:
        text = f"Invalid value: {shown(schedule)}: expected exactly 5 fields, found {len(schedule.split())}"
        causes.append(Cause("spec.schedule", text))
    return causes


def budget_faults(obj: Obj, old: Obj | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        return [Cause("spec", f"Invalid value: {shown(spec)}: minAvailable and maxUnavailable cannot be both set")]
    return []


def ingress_faults(obj: Obj, old: Obj | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        return [Cause("spec", f"Invalid value: {shown(spec)}: either `defaultBackend` or `rules` must be specified")]
    return []


def _container_faults(spec: Obj, path: str) -> list[Cause]:
    if ((spec.get("template") or {}).get("spec") or {}).get("containers"):
        return []
    return [Cause(f"{path}.template.spec.containers", "Required value", REQUIRED)]
