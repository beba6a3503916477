"""What a node's disk says of its boots, and what is believed of that.

Golden time's count is 3. A disk that was taken back says 4, and so did the used one, in the boot that was attested.
"""

from __future__ import annotations

from typing import Any

import pytest

from pool.core.errors import AttestationFailed, GuestUnhealthy, SnapshotMissing
from pool.guest.answers import Node, understood
from pool.guest.boots import golden_boots
from pool.guest.health import Counted, proved

RESTORED, NEW = Counted(3, "attested"), Counted()


def node(boot_id: str, said: str | None) -> Node:
    annotations = {} if said is None else {"cks.io/boots": said}
    status = {"nodeInfo": {"bootID": boot_id}, "conditions": []}
    return understood(Node, {"metadata": {"annotations": annotations}, "status": status})


@pytest.mark.parametrize(
    ("boot_id", "said", "disk"),
    [
        pytest.param("b", None, RESTORED, id="nothing"),
        pytest.param("b", None, NEW, id="nothing, on a new disk"),
        pytest.param("a0", "3 a0", RESTORED, id="golden time's words, which a restored etcd repeats"),
        pytest.param("b", "3 a0", RESTORED, id="golden time's words, its kubelet has spoken"),
        pytest.param("a77ed", "4 a77ed", Counted(3, "a77ed"), id="words of the boot that was attested last"),
        pytest.param("b", "4 a77ed", Counted(3, "a77ed"), id="those, its kubelet has spoken"),
        pytest.param("b", "4 c", RESTORED, id="words of yet another boot"),
    ],
)
def test_words_of_another_boot_are_not_believed_and_not_held_against_it(
    boot_id: str, said: str | None, disk: Counted
) -> None:
    with pytest.raises(GuestUnhealthy, match="nothing was said"):
        proved("cp", node(boot_id, said), disk)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 400])
def test_a_disk_that_booted_less_or_more_than_once_since_golden_time_was_not_taken_back(count: int) -> None:
    with pytest.raises(AttestationFailed, match=f"expected boot 4 .*, got boot {count};"):
        proved("cp", node("b", f"{count} b"), RESTORED)


def test_the_first_boot_since_golden_time_proves_the_disk() -> None:
    assert proved("cp", node("b", "4 b"), RESTORED) == 4
    assert proved("cp", node("b", "9 b"), NEW) == 9


def test_the_disk_that_a_snapshot_was_taken_of_may_boot_as_often_as_it_likes() -> None:
    taken = Counted(3, "a77ed", restored=False)
    assert proved("cp", node("b", "4 b"), taken) == 4
    assert proved("cp", node("b", "5 b"), taken) == 5
    with pytest.raises(GuestUnhealthy, match="nothing was said"):
        proved("cp", node("a0", "3 a0"), taken)


@pytest.mark.parametrize("said", ["4", "four b", "-4 b", "4 b b", "4  b", " 4 b", "4 b\n", "4 <b>", "9" * 10 + " b"])
def test_words_that_no_node_of_ours_says_are_refused(said: str) -> None:
    with pytest.raises(GuestUnhealthy, match="string_pattern_mismatch"):
        node("b", said)


def test_a_snapshot_that_says_nothing_of_its_disk_cannot_be_attested() -> None:
    def snapshot(**annotations: str) -> dict[str, Any]:
        return {"metadata": {"name": "cp-snap", "namespace": "cluster1", "annotations": annotations}}

    assert golden_boots(snapshot(**{"cks.io/boots": "3"})) == 3
    nothing: list[dict[str, str]] = [{}, {"cks.io/boots": ""}, {"cks.io/boots": "3 b"}]
    for said in nothing:
        with pytest.raises(SnapshotMissing, match="rebuild-cluster"):
            golden_boots(snapshot(**said))
