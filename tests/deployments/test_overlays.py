"""The manifests that people apply: a server takes them as they are, and what they name fits together."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cks_pool.app import app
from gateway.settings import GatewaySettings
from pool.core.settings import Settings
from pool.kube.client import Object
from simulator.app import Simulator
from tests.deployments.overlays import (
    DEPLOYMENTS,
    NAMES,
    OWN,
    ROOT,
    built,
    containers,
    folder_of,
    manifests,
    of_kind,
    pods,
)
from tests.pool.kubectl import Kubectl, needed

pytestmark = needed

GIVEN = {"own-prefect": {"cks-pool-prefect"}, "complete": set[str]()}
"""Secrets that whoever applies the overlay has to give."""
INGRESS = {"cks-pool-prefect-ingress"}
"""The same of whoever adds the Ingress."""
REGISTRY = {"registry"}
"""The same of whoever has a private registry."""


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """As Kubernetes reads a label selector, of the forms that are used here."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(
        labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
        if one["operator"] == "In"
    )


@pytest.mark.parametrize("overlay", NAMES)
class TestOverlay:
    async def test_a_server_takes_all_of_it_and_nothing_differs_afterwards(
        self, overlay: str, api_server: Simulator, tmp_path: Path
    ) -> None:
        assert api_server.kubeconfig_path is not None
        kubectl = Kubectl(api_server.kubeconfig_path, "", tmp_path)
        with folder_of(overlay) as folder:
            said = await kubectl("apply", "-k", str(folder))
            assert len(said.splitlines()) == len(built(overlay))
            assert await kubectl("diff", "-k", str(folder)) == ""

    async def test_a_dry_run_takes_all_of_it_once_the_namespaces_are_there(
        self, overlay: str, api_server: Simulator, tmp_path: Path
    ) -> None:
        """A server's dry run makes nothing, no namespace either, and what belongs into one wants it there."""
        assert api_server.kubeconfig_path is not None
        kubectl = Kubectl(api_server.kubeconfig_path, "", tmp_path)
        dry_run = partial(kubectl, "apply", "--dry-run=server", "-f", "-", given=manifests(overlay))
        refused = set((await dry_run(fails=True)).splitlines())
        assert refused == {
            f'Error from server (NotFound): error when creating "STDIN": namespaces "{name}" not found'
            for name in ("cks-pool", "vm-templates")
        }
        await kubectl("apply", "-f", str(DEPLOYMENTS / "rbac" / "1-accounts.yaml"))
        said = (await dry_run()).splitlines()
        assert len(said) == len(built(overlay))
        assert all(line.endswith("(server dry run)") for line in said)
        assert await kubectl("get", "deployments,roles,networkpolicies", "-A") == "", "nothing was made"

    def test_network_policies_come_before_the_pods_that_they_guard(self, overlay: str) -> None:
        """The one that closes the namespace before all, and each workload's own before it."""
        guards, guarded = "NetworkPolicy", ("Deployment", "StatefulSet", "Job")
        order = [(one["kind"], one["metadata"]["name"]) for one in of_kind(overlay, guards, *guarded)]
        assert order[0] == (guards, "cks-pool-closed")
        of_its_own = [(kind, name) for kind, name in order if kind in guarded and (guards, name) in order]
        assert of_its_own
        for kind, name in of_its_own:
            assert order.index((guards, name)) < order.index((kind, name)), name

    def test_its_pods_are_admitted_at_the_restricted_level(self, overlay: str) -> None:
        """Kubernetes: Pod Security Standards, `restricted`."""
        for name, template in pods(overlay):
            spec = template["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True, name
            assert spec["securityContext"]["runAsUser"] > 0, name
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
            kinds = {"emptyDir", "secret", "configMap", "persistentVolumeClaim", "projected"}
            assert all(kinds & volume.keys() for volume in spec["volumes"] if len(volume) > 1), name
            for one in containers(template):
                context = one["securityContext"]
                assert context["allowPrivilegeEscalation"] is False, one["name"]
                assert context["capabilities"] == {"drop": ["ALL"]}, one["name"]
                assert context["readOnlyRootFilesystem"] is True, one["name"]
                assert "privileged" not in context, one["name"]

    def test_every_container_asks_for_what_it_needs_and_has_a_limit_of_memory(self, overlay: str) -> None:
        for _, template in pods(overlay):
            for one in containers(template):
                assert one["resources"]["requests"].keys() == {"cpu", "memory"}, one["name"]
                assert "memory" in one["resources"]["limits"], one["name"]

    def test_no_probe_takes_what_is_busy_for_what_is_dead(self, overlay: str) -> None:
        """Kubernetes gives an answer one second unless it is told otherwise."""
        probes = [one[name] for _, pod in pods(overlay) for one in containers(pod) for name in one if "Probe" in name]
        assert probes
        assert [one for one in probes if one.get("timeoutSeconds", 1) < 10] == []

    def test_what_its_containers_are_given_is_what_the_command_takes(self, overlay: str) -> None:
        given = [one["args"] for _, pod in pods(overlay) for one in containers(pod) if "args" in one]
        assert given
        for arguments in given:
            app.parse_args(arguments, exit_on_error=False, print_error=False)

    def test_no_secret_has_a_value(self, overlay: str) -> None:
        assert of_kind(overlay, "Secret") == []
        literals = [env for _, pod in pods(overlay) for one in containers(pod) for env in one.get("env", [])]
        assert not [env["name"] for env in literals if "value" in env and "PASSWORD" in env["name"]]

    def test_every_secret_that_is_named_is_made_or_to_be_given(self, overlay: str) -> None:
        (role,) = [one for one in of_kind(overlay, "Role") if one["metadata"]["name"] == "cks-pool-setup"]
        (made,) = [set(rule["resourceNames"]) for rule in role["rules"] if "resourceNames" in rule]
        assert set(_secrets(overlay)) <= made | GIVEN.get(overlay, INGRESS | REGISTRY)

    def test_every_account_and_config_map_that_is_named_is_there(self, overlay: str) -> None:
        accounts = {one["metadata"]["name"] for one in of_kind(overlay, "ServiceAccount")}
        maps = {one["metadata"]["name"] for one in of_kind(overlay, "ConfigMap")}
        for name, template in pods(overlay):
            spec = template["spec"]
            assert spec.get("serviceAccountName") in accounts or spec["automountServiceAccountToken"] is False, name
            named = [
                env["configMapRef"]["name"]
                for one in containers(template)
                for env in one.get("envFrom", [])
                if "configMapRef" in env
            ]
            assert set(named) <= maps, name

    def test_every_setting_that_is_given_is_one_that_is_read(self, overlay: str) -> None:
        (settings,) = [one for one in of_kind(overlay, "ConfigMap") if "PREFECT_API_URL" in one["data"]]
        for variable in settings["data"]:
            for prefix, model in (("CKS_POOL_", Settings), ("CKS_GATEWAY_", GatewaySettings)):
                if variable.startswith(prefix):
                    assert variable.removeprefix(prefix).lower() in model.model_fields

    def test_services_budgets_and_policies_mean_pods_that_there_are(self, overlay: str) -> None:
        labels = [template["metadata"]["labels"] for _, template in pods(overlay)]
        for one in of_kind(overlay, "Service"):
            assert any(one["spec"]["selector"].items() <= of.items() for of in labels), one["metadata"]["name"]
        for one in of_kind(overlay, "PodDisruptionBudget"):
            assert any(selects(one["spec"]["selector"], of) for of in labels), one["metadata"]["name"]
        for one in of_kind(overlay, "NetworkPolicy"):
            assert any(selects(one["spec"]["podSelector"], of) for of in labels), one["metadata"]["name"]

    def test_an_ingress_leads_to_a_service_whose_pods_know_its_address_and_let_its_controller_in(
        self, overlay: str
    ) -> None:
        services = {one["metadata"]["name"]: one["spec"] for one in of_kind(overlay, "Service")}
        for one in of_kind(overlay, "Ingress"):
            ((rule,), (tls,)) = one["spec"]["rules"], one["spec"]["tls"]
            assert tls["hosts"] == [rule["host"]] == ["prefect.labs.example.com"]
            (path,) = rule["http"]["paths"]
            to = services[path["backend"]["service"]["name"]]
            assert path["backend"]["service"]["port"]["name"] in [port["name"] for port in to["ports"]]
            ((_, pod),) = [
                found for found in pods(overlay) if to["selector"].items() <= found[1]["metadata"]["labels"].items()
            ]
            env = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
            assert env["PREFECT_UI_API_URL"] == f"https://{rule['host']}/api"
            (settings,) = [each["data"] for each in of_kind(overlay, "ConfigMap") if "PREFECT_API_URL" in each["data"]]
            assert settings["CKS_GATEWAY_PREFECT_UI_URL"] == f"https://{rule['host']}"
            policies = [each["spec"] for each in of_kind(overlay, "NetworkPolicy")]
            let_in = [
                peer["namespaceSelector"]["matchLabels"]
                for policy in policies
                if selects(policy["podSelector"], pod["metadata"]["labels"])
                for entry in policy.get("ingress", [])
                for peer in entry.get("from", [])
                if "namespaceSelector" in peer
            ]
            assert let_in == [{"kubernetes.io/metadata.name": "ingress-nginx"}]

    def test_all_that_stays_has_the_priority_that_there_is_or_none_has(self, overlay: str) -> None:
        classes = {one["metadata"]["name"] for one in of_kind(overlay, "PriorityClass")}
        named = {
            one["spec"]["template"]["spec"].get("priorityClassName")
            for one in of_kind(overlay, "Deployment", "StatefulSet")
        }
        assert named == (classes or {None})

    def test_ports_are_named_where_they_are_served(self, overlay: str) -> None:
        served = {port["name"] for _, pod in pods(overlay) for one in containers(pod) for port in one.get("ports", [])}
        targets = [port["targetPort"] for one in of_kind(overlay, "Service") for port in one["spec"]["ports"]]
        assert set(targets) <= served

    def test_policies_name_ports_by_numbers_that_are_those_of_the_pods(self, overlay: str) -> None:
        """OVN-Kubernetes, OpenShift's network plugin, knows no others in them."""
        for one in of_kind(overlay, "NetworkPolicy"):
            spec, name = one["spec"], one["metadata"]["name"]
            inward, outward = spec.get("ingress", []), spec.get("egress", [])
            named = [port["port"] for entry in (*inward, *outward) for port in entry["ports"]]
            assert [port for port in named if not isinstance(port, int)] == [], name
            to = [(peer.get("podSelector"), entry) for entry in outward for peer in entry.get("to", [])]
            for selector, entry in [*((spec["podSelector"], entry) for entry in inward), *to]:
                if selector is not None:
                    ports = {port["port"] for port in entry["ports"]}
                    served = [_ports(pod) for _, pod in pods(overlay) if selects(selector, pod["metadata"]["labels"])]
                    assert served, name
                    assert all(ports <= of_one for of_one in served), name

    def test_what_there_are_two_of_is_spread_and_one_of_them_always_stays(self, overlay: str) -> None:
        budgets = [one["spec"] for one in of_kind(overlay, "PodDisruptionBudget")]
        for one in of_kind(overlay, "Deployment"):
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert one["spec"]["replicas"] == 2
            (budget,) = [found for found in budgets if selects(found["selector"], labels)]
            assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow", "what does not come up holds up no drain"
            (spread,) = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
            assert spread["matchLabelKeys"] == ["pod-template-hash"], "else a rollout counts the old ones in"

    def test_a_rollout_waits_until_a_new_worker_has_stayed_up(self, overlay: str) -> None:
        """One that ends again and again may pass its first probe by the file that its container before has left."""
        (worker,) = [
            one["spec"] for one in of_kind(overlay, "Deployment") if one["metadata"]["name"] == "cks-pool-worker"
        ]
        assert worker.get("minReadySeconds", 0) >= 30

    def test_a_pod_that_cannot_start_is_replaced_once_its_template_is_mended(self, overlay: str) -> None:
        """A StatefulSet that keeps an order waits for the pod instead, for ever."""
        policies = {one["spec"].get("podManagementPolicy") for one in of_kind(overlay, "StatefulSet")}
        assert policies <= {"Parallel"}

    def test_a_worker_that_stops_has_longer_than_a_silent_run_is_waited_for(self, overlay: str) -> None:
        (worker,) = [pod for name, pod in pods(overlay) if name == "cks-pool-worker"]
        assert worker["spec"]["terminationGracePeriodSeconds"] > Settings().operation_grace


def test_an_overlay_of_ones_own_changes_what_it_says() -> None:
    (host,) = [one for one in of_kind(OWN, "NetworkPolicy") if one["metadata"]["name"] == "cks-pool-host"]
    assert [one["port"] for one in host["spec"]["egress"][0]["ports"]] == [443, 6443, 16443]
    claims = [one["spec"]["volumeClaimTemplates"][0]["spec"] for one in of_kind(OWN, "StatefulSet")]
    assert {one["storageClassName"] for one in claims} == {"fast"}
    assert [one["resources"]["requests"]["storage"] for one in claims] == ["50Gi", "1Gi"]
    images = {one["image"] for _, pod in pods(OWN) for one in containers(pod)}
    assert images == {"registry.example.com/cks-pool:0.1.0", "registry.example.com/postgres:17"}
    assert {tuple(one["name"] for one in pod["spec"]["imagePullSecrets"]) for _, pod in pods(OWN)} == {("registry",)}


@pytest.mark.parametrize("part", ["worker", "gateway"])
def test_memory_is_enough_for_what_the_page_on_scale_has_seen_and_computed(part: str) -> None:
    lines = (ROOT / "docs" / "scale.md").read_text().splitlines()
    (seen,) = [line for line in lines if line.startswith(f"| a {part}'s memory |")]
    computed = [line.split("|")[4] for line in lines if line.startswith(f"| a {part}'s memory, with all resets")]
    (pod,) = [pod for name, pod in pods("complete") if name == f"cks-pool-{part}"]
    asked = pod["spec"]["containers"][0]["resources"]
    (at_rest,) = re.findall(r"(\d+) MiB with 300", seen)
    assert _mebibytes(asked["requests"]["memory"]) >= int(at_rest)
    assert _mebibytes(asked["limits"]["memory"]) > 2 * max(map(int, re.findall(r"(\d+) MiB", seen.split("|")[2])))
    for of_1000 in computed:
        assert _mebibytes(asked["limits"]["memory"]) > int(of_1000.removesuffix(" MiB ").replace(",", ""))


@pytest.mark.parametrize("overlay", [name for name in NAMES if name != OWN])
def test_all_that_is_applied_is_found_by_one_label(overlay: str) -> None:
    lacking = [
        f"{one['kind']} {one['metadata']['name']}"
        for one in built(overlay)
        if one["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "cks-pool"
    ]
    assert lacking == []


@pytest.mark.parametrize("overlay", NAMES)
def test_a_setup_that_cannot_start_is_out_of_the_next_applys_way_within_the_hour(overlay: str) -> None:
    """A Job's pods cannot be changed, and one whose image cannot be pulled would stay for ever."""
    (job,) = of_kind(overlay, "Job")
    assert job["spec"]["activeDeadlineSeconds"] + job["spec"]["ttlSecondsAfterFinished"] < 3600


@pytest.mark.parametrize("overlay", [*NAMES, "rbac"])
def test_namespaces_come_first_and_kinds_and_policies_before_the_rights_that_they_hold(overlay: str) -> None:
    kinds = [one["kind"] for one in built(overlay)]
    assert kinds[:2] == ["Namespace", "Namespace"]
    rights = min(kinds.index(kind) for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"))
    for kind in ("CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert kind in kinds[:rights]
        assert kind not in kinds[rights:]


def _mebibytes(quantity: str) -> int:
    """Of what the manifests say, which is in them."""
    return int(quantity.removesuffix("Mi"))


def _ports(template: Object) -> set[int]:
    return {port["containerPort"] for one in containers(template) for port in one.get("ports", [])}


def _secrets(overlay: str) -> list[str]:
    found: list[str] = [tls["secretName"] for one in of_kind(overlay, "Ingress") for tls in one["spec"]["tls"]]
    for _, template in pods(overlay):
        found += [volume["secret"]["secretName"] for volume in template["spec"]["volumes"] if "secret" in volume]
        found += [one["name"] for one in template["spec"].get("imagePullSecrets", [])]
        for one in containers(template):
            found += [env["secretRef"]["name"] for env in one.get("envFrom", []) if "secretRef" in env]
            keys: list[dict[str, Any]] = [
                env["valueFrom"]["secretKeyRef"] for env in one.get("env", []) if "valueFrom" in env
            ]
            found += [key["name"] for key in keys]
    return found
