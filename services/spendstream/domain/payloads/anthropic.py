"""Anthropic messages, their streams and batches, and the usage report of an organisation.

`input_tokens` excludes cache reads and writes; `output_tokens` contains thinking, which newer answers also report
apart. `cache_creation_input_tokens` is the sum of 5-minute and 1-hour writes; alone, it counts as 5-minute writes.
"""

from dataclasses import replace

from spendstream.domain.payloads.source import Check, Source

_WRITES = ("cache_write_5m_tokens", "cache_write_1h_tokens")

MESSAGES = Source(
    name="anthropic.messages",
    convention="disjoint",
    known_by=("usage.input_tokens", "type | stop_reason | usage.cache_creation_input_tokens | usage.cache_creation"),
    fixed={"provider": "anthropic", "operation": "chat"},
    fields={
        "event_id": "id",
        "model": "model",
        "region": "usage.inference_geo",
        "service_tier": "usage.service_tier",
        "input_tokens": "usage.input_tokens",
        "output_tokens": "usage.output_tokens - usage.output_tokens_details.thinking_tokens",
        "reasoning_tokens": "usage.output_tokens_details.thinking_tokens",
        "cache_read_tokens": "usage.cache_read_input_tokens",
        "cache_write_5m_tokens": "usage.cache_creation.ephemeral_5m_input_tokens"
        " | usage.cache_creation_input_tokens - usage.cache_creation.ephemeral_1h_input_tokens",
        "cache_write_1h_tokens": "usage.cache_creation.ephemeral_1h_input_tokens",
    },
    checks=(Check("usage.cache_creation_input_tokens", (_WRITES,)),),
)

#: Rows of the usage report, from the Admin API. It does not count requests (see `requests_at_least`).
USAGE_REPORT = Source(
    name="anthropic.usage_report",
    convention="disjoint",
    known_by=("uncached_input_tokens",),
    fixed={"provider": "anthropic", "operation": "chat"},
    fields={
        "occurred_at": "starting_at",
        "model": "model",
        "project": "workspace_id",
        "api_key_id": "api_key_id",
        "region": "inference_geo",
        "service_tier": "service_tier",
        "input_tokens": "uncached_input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_tokens": "cache_read_input_tokens",
        "cache_write_5m_tokens": "cache_creation.ephemeral_5m_input_tokens",
        "cache_write_1h_tokens": "cache_creation.ephemeral_1h_input_tokens",
    },
    required=("model", "input_tokens", "output_tokens", "occurred_at"),
)

#: The same report as the Console writes it to CSV.
CONSOLE_CSV = replace(
    USAGE_REPORT,
    name="anthropic.console_csv",
    known_by=("usage_input_tokens_no_cache",),
    fields={
        "occurred_at": "usage_date_utc",
        "model": "model_version",
        "project": "workspace",
        "api_key_id": "api_key",
        "region": "inference_geo",
        "service_tier": "usage_type",
        "input_tokens": "usage_input_tokens_no_cache",
        "output_tokens": "usage_output_tokens",
        "cache_read_tokens": "usage_input_tokens_cache_read",
        "cache_write_5m_tokens": "usage_input_tokens_cache_write_5m",
        "cache_write_1h_tokens": "usage_input_tokens_cache_write_1h",
    },
)

SOURCES = (MESSAGES,)

SHORT_WINDOWS = frozenset(("", "0-200k", "≤200k", "<=200k", "<200k"))
LONG_CONTEXT = 200_000
LONGEST_CONTEXT = 1_000_000


def requests_at_least(input_tokens: int, context_window: str | None) -> int:
    """The fewest requests a row of the usage report can stand for; the report itself does not say.

    A row of the window `0-200k` has no request above 200 000 input tokens, one of `200k-1M` none above a million. So
    that many requests keep each row inside its own context tier, which is what its price goes by.
    """
    window = (context_window or "").lower().replace(" ", "")
    most = LONG_CONTEXT if window in SHORT_WINDOWS else LONGEST_CONTEXT
    return max(1, -(-input_tokens // most))
