"""What Prefect is to notice by itself, from `deployments/automations.yaml`: made, or brought up to date, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from prefect.client.orchestration import PrefectClient
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import Automation, AutomationCore

FILE = Path(__file__).resolve().parent.parent / "deployments" / "automations.yaml"


def load_automations() -> list[AutomationCore]:
    """Every entry of the file."""
    entries = yaml.safe_load(FILE.read_text())["automations"]
    return [AutomationCore.model_validate(entry) for entry in entries]


async def ensure_automations(client: PrefectClient, automations: Sequence[AutomationCore]) -> None:
    """Create what is missing and update what differs; whether it is switched on, and what it does, is kept."""
    for wanted in automations:
        found = await client.read_automations_by_name(wanted.name)
        if not found:
            await client.create_automation(wanted)
        for one in found:
            kept = wanted.model_copy(update=_chosen(one))
            if kept != AutomationCore.model_validate(one.model_dump(include=set(AutomationCore.model_fields))):
                await client.update_automation(one.id, kept)


def _chosen(found: Automation) -> dict[str, object]:
    """What somebody has decided about it since it was made."""
    acts = [action for action in found.actions if not isinstance(action, DoNothing)]
    return {"enabled": found.enabled} | ({"actions": acts} if acts else {})
