"""Totals that do not add up: counted as they are, and a question anyone can ask."""

from collections.abc import Mapping

import pytest

from tests.support.installation import Installation
from tests.support.usage import message, usage

SAID = {"token_mismatch": "50", "token_mismatch_reason": "total_tokens is 1150, its classes add up to 1100"}
OVERLAP = {"cache_read_tokens": 900, "audio_input_tokens": 300}


@pytest.mark.embedded
def test_mismatches_are_kept_with_their_reason_and_private_attributes_are_not(installation: Installation) -> None:
    system = installation
    system.service("attribution").start()
    events: Mapping[str, dict[str, object]] = {
        "said": {"attributes": {**SAID, "email": "somebody@example.org"}}, "overlap": OVERLAP, "fine": {},
    }  # fmt: skip
    system.publish("usage", [message(usage(name, **fields)) for name, fields in events.items()])
    system.until("select count() from charges", lambda n: n == 3)
    rows = system.query("select event_id, token_mismatch, toString(attributes) from v_charges order by event_id")
    assert [row[:2] for row in rows] == [("fine", 0), ("overlap", -200), ("said", 50)]
    assert rows[2][2] == str(SAID).replace(": ", ":").replace(", '", ",'")
    assert system.query("select events, unexplained_tokens, surplus_tokens, example from v_token_mismatch") == [
        (2, 50, 200, SAID["token_mismatch_reason"])
    ]
