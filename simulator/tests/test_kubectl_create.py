"""`kubectl create KIND`, unchanged: it speaks protobuf, so what is stored shows whether every field was read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.test_kubectl import Kubectl, kubectl, pytestmark

__all__ = ["kubectl", "pytestmark"]
CRON_JOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: rich}
spec:
  schedule: "@hourly"
  jobTemplate:
    metadata: {labels: {made: by-hand}}
    spec:
      parallelism: 2
      completions: 3
      backoffLimit: 4
      activeDeadlineSeconds: 50
      ttlSecondsAfterFinished: 60
      template:
        metadata: {labels: {app: rich}, annotations: {note: here}}
        spec:
          restartPolicy: OnFailure
          terminationGracePeriodSeconds: 7
          activeDeadlineSeconds: 8
          dnsPolicy: Default
          nodeSelector: {disk: fast}
          serviceAccountName: bot
          hostNetwork: true
          hostPID: true
          hostIPC: true
          securityContext: {runAsUser: 1, runAsGroup: 2, fsGroup: 3, runAsNonRoot: true}
          imagePullSecrets: [{name: registry}]
          hostname: host
          subdomain: sub
          schedulerName: other
          automountServiceAccountToken: true
          tolerations: [{key: a, operator: Equal, value: b, effect: NoSchedule}]
          priorityClassName: high
          runtimeClassName: sandbox
          enableServiceLinks: true
          volumes:
          - {name: a, hostPath: {path: /a, type: Directory}}
          - {name: b, emptyDir: {medium: Memory, sizeLimit: 1Gi}}
          - {name: c, secret: {secretName: s, defaultMode: 256, optional: true}}
          - {name: d, configMap: {name: c, defaultMode: 256, optional: true}}
          - {name: e, persistentVolumeClaim: {claimName: p, readOnly: true}}
          initContainers: [{name: first, image: one}]
          containers:
          - name: main
            image: two
            command: [run, it]
            args: [a, b]
            workingDir: /w
            stdin: true
            tty: true
            imagePullPolicy: Always
            ports: [{name: http, containerPort: 80, hostPort: 80, protocol: TCP, hostIP: 127.0.0.1}]
            env:
            - {name: A, value: a}
            - {name: B, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}}
            - {name: C, valueFrom: {configMapKeyRef: {name: c, key: k, optional: true}}}
            - {name: D, valueFrom: {secretKeyRef: {name: s, key: k}}}
            envFrom:
            - {prefix: X_, configMapRef: {name: c}}
            - {secretRef: {name: s, optional: true}}
            resources: {limits: {cpu: "1", memory: 1Gi}, requests: {cpu: 500m}}
            volumeMounts: [{name: a, mountPath: /m, subPath: sub, readOnly: true}]
"""


async def shown(kubectl: Kubectl, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await kubectl("get", kind, name, "-o", "json"))
    return found


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("configmap x --from-literal=a=b", "configmap/x"),
        ("secret generic x --from-literal=a=b", "secret/x"),
        ("serviceaccount x", "serviceaccount/x"),
        ("role x --verb=get --resource=pods", "role.rbac.authorization.k8s.io/x"),
        ("rolebinding x --role=x --user=joe", "rolebinding.rbac.authorization.k8s.io/x"),
        ("clusterrole x --verb=get --resource=nodes", "clusterrole.rbac.authorization.k8s.io/x"),
        ("clusterrolebinding x --clusterrole=x --user=joe", "clusterrolebinding.rbac.authorization.k8s.io/x"),
        ("quota x --hard=pods=3", "resourcequota/x"),
        ("priorityclass x --value=7", "priorityclass.scheduling.k8s.io/x"),
        ("service nodeport x --tcp=80:8080", "service/x"),
        ("deployment x --image=nginx", "deployment.apps/x"),
        ("job x --image=busybox -- date", "job.batch/x"),
        ("cronjob x --image=busybox --schedule=@daily -- date", "cronjob.batch/x"),
        ("ingress x --rule=example.com/=web:80", "ingress.networking.k8s.io/x"),
        ("poddisruptionbudget x --selector=app=web --min-available=1", "poddisruptionbudget.policy/x"),
    ],
)
async def test_common_kinds_are_created_and_named(kubectl: Kubectl, arguments: str, answer: str) -> None:
    assert await kubectl("create", *arguments.split()) == f"{answer} created\n"
    kind = answer.partition("/")[0]
    assert await kubectl("get", kind, "x", "-o", "name") == f"{answer}\n"


async def test_a_deployment_is_completed_scaled_and_changed(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2", "--port=80")
    spec = (await shown(kubectl, "deployment", "web"))["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert (spec["replicas"], container["image"], container["ports"]) == (
        2,
        "nginx",
        [{"containerPort": 80, "protocol": "TCP"}],
    )
    assert spec["selector"] == {"matchLabels": {"app": "web"}}
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    await kubectl("scale", "deployment", "web", "--replicas=5")
    await kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    changed = await shown(kubectl, "deployment", "web")
    assert (changed["spec"]["replicas"], changed["metadata"]["generation"]) == (5, 3)
    header, row = (await kubectl("get", "deployments")).splitlines()
    assert header.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row.split()[:4] == ["web", "0/5", "0", "0"]
    other = '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}'
    refused = await kubectl("patch", "deployment", "web", "--type=merge", "-p", other, fails=True)
    assert "field is immutable" in refused


async def test_a_job_from_a_cron_job_has_the_whole_template(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", given=CRON_JOB)
    await kubectl("create", "job", "now", "--from=cronjob/rich")
    template = (await shown(kubectl, "cronjob", "rich"))["spec"]["jobTemplate"]
    job = await shown(kubectl, "job", "now")
    assert job["spec"]["template"] == template["spec"]["template"]
    for field, value in template["spec"].items():
        assert job["spec"][field] == value
    assert job["metadata"]["labels"] == {"made": "by-hand"}
    assert [one["kind"] for one in job["metadata"]["ownerReferences"]] == ["CronJob"]


async def test_an_ingress_has_its_rules_and_its_certificates(kubectl: Kubectl) -> None:
    rules = ("--rule=a.example/x*=web:80,tls=own", "--rule=b.example/=web:http", "--class=outer")
    await kubectl("create", "ingress", "x", *rules, "--default-backend=web:81")
    spec = (await shown(kubectl, "ingress", "x"))["spec"]
    paths = [rule["http"]["paths"][0] for rule in spec["rules"]]
    assert [rule["host"] for rule in spec["rules"]] == ["a.example", "b.example"]
    assert [(path["path"], path["pathType"]) for path in paths] == [("/x", "Prefix"), ("/", "Exact")]
    assert [path["backend"]["service"]["port"] for path in paths] == [{"number": 80}, {"name": "http"}]
    assert spec["tls"] == [{"hosts": ["a.example"], "secretName": "own"}]
    assert spec["defaultBackend"] == {"service": {"name": "web", "port": {"number": 81}}}
    assert spec["ingressClassName"] == "outer"


async def test_a_budget_is_a_number_or_a_share(kubectl: Kubectl) -> None:
    await kubectl("create", "pdb", "x", "--selector=app in (a, b)", "--max-unavailable=30%")
    spec = (await shown(kubectl, "pdb", "x"))["spec"]
    requirement = {"key": "app", "operator": "In", "values": ["a", "b"]}
    assert spec == {"maxUnavailable": "30%", "selector": {"matchExpressions": [requirement]}}


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}},"
            " template: {metadata: {labels: {a: c}}, spec: {containers: [{name: a, image: a}]}}}}",
            "`selector` does not match template `labels`",
        ),
        (
            "{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec:"
            " {containers: [{name: a, image: a}]}}}}",
            'valid values: "OnFailure", "Never"',
        ),
        (
            "{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {schedule: often, jobTemplate: {spec:"
            " {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}}",
            "expected exactly 5 fields, found 1",
        ),
        (
            "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: x}, spec: {minAvailable: 1,"
            " maxUnavailable: 1}}",
            "minAvailable and maxUnavailable cannot be both set",
        ),
        ("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x}, spec: {}}", "must be specified"),
    ],
)
async def test_what_cannot_be_is_refused(kubectl: Kubectl, manifest: str, said: str) -> None:
    assert said in await kubectl("create", "-f", "-", given=f"---\n{manifest}", fails=True)


async def test_wide_tables_show_what_workloads_run(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "d", "--image=example.com/x")
    head, row = (await kubectl("get", "deployments", "-o", "wide")).splitlines()
    assert head.split()[-3:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    assert row.split()[-3:] == ["x", "example.com/x", "app=d"]
