"""Tag policies through the public commands: refused, looked up, or unallocated with the reason kept."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.totals import until_conserved
from tests.support.usage import PRICES, message, usage

DOCUMENTS = (
    PRICES
    + """
---
kind: Owner
name: ranker
spec: {match: {service: ranker}, team: search, project: rank, environment: prod, cost_center: cc-1}
---
kind: Policy
name: chat-must-be-tagged
spec: {kind: tags, match: {service: chat}, action: quarantine, required: [team]}
---
kind: Policy
name: known-teams-only
spec: {kind: tags, registry: strict}
"""
)
UNTAGGED = {"team": None, "project": None, "environment": None, "cost_center": None}
COST = Decimal("0.0013")


@pytest.mark.embedded
def test_policies_decide_about_missing_and_unknown_tags(installation: Installation, tmp_path: Path) -> None:
    system = installation
    (tmp_path / "documents.yaml").write_text(DOCUMENTS)
    system.service("attribution").start()
    system.run("apply", "-f", str(tmp_path / "documents.yaml"))
    system.publish(
        "usage",
        [
            message(usage("refused", service="chat", **UNTAGGED)),
            message(usage("looked-up", **UNTAGGED)),
            message(usage("typo", service="other", team="serach")),
            message(usage("known")),
        ],
    )
    system.until("select count() from dead_letters final", lambda n: n == 1)
    system.until("select count() from charges", lambda n: n == 3)
    assert system.query("select event_id, reason from dead_letters final") == [("refused", "missing_tag")]
    rows = {row[0]: row[1:] for row in system.query("select event_id, team, owner_source, owner_reason from charges")}
    assert rows["looked-up"] == ("search", "registry", "")
    assert rows["known"] == ("search", "event", "")
    assert rows["typo"] == ("unallocated", "unallocated", "team unknown: serach")
    coverage = system.query("select sum(cost_usd), sum(team_usd) from v_tag_coverage")
    assert coverage == [(3 * COST, 2 * COST)]
    until_conserved(system, (4, 3, 0, 0, 0, 1, 0))
