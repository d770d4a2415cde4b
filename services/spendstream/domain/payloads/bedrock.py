"""Amazon Bedrock: Converse, InvokeModel (headers or the last chunk's metrics), and model invocation logs.

`inputTokens` excludes cache reads and writes; `totalTokens` has been seen with and without them. Nova's own body has
Converse's names except those of the cache. What another model's own body says (an Anthropic message, say) is read by
that model's table with the provider given as `aws`.
"""

from spendstream.domain.payloads.source import DISJOINT, Check, Source

_FIXED = {"provider": "aws", "operation": "chat"}
_IN_OUT = ("input_tokens", "output_tokens")

CONVERSE = Source(
    name="bedrock.converse",
    convention="disjoint",
    known_by=("usage.inputTokens",),
    fixed=_FIXED,
    fields={
        "event_id": "ResponseMetadata.RequestId",
        "model": "modelId | trace.promptRouter.invokedModelId",
        "service_tier": "serviceTier.type | serviceTier",
        "latency_ms": "metrics.latencyMs",
        "input_tokens": "usage.inputTokens",
        "output_tokens": "usage.outputTokens",
        "cache_read_tokens": "usage.cacheReadInputTokens | usage.cacheReadInputTokenCount",
        "cache_write_5m_tokens": "usage.cacheDetails[ttl=5m].inputTokens | usage.cacheWriteInputTokens"
        " | usage.cacheWriteInputTokenCount",
        "cache_write_1h_tokens": "usage.cacheDetails[ttl=1h].inputTokens",
    },
    checks=(
        Check("usage.totalTokens", (*DISJOINT, _IN_OUT)),
        Check("usage.cacheWriteInputTokens", (("cache_write_5m_tokens", "cache_write_1h_tokens"),)),
    ),
)

INVOKE_METRICS = Source(
    name="bedrock.invoke_metrics",
    convention="disjoint",
    known_by=("amazon-bedrock-invocationMetrics.inputTokenCount",),
    fixed=_FIXED,
    fields={
        "model": "modelId",
        "latency_ms": "amazon-bedrock-invocationMetrics.invocationLatency",
        "input_tokens": "amazon-bedrock-invocationMetrics.inputTokenCount",
        "output_tokens": "amazon-bedrock-invocationMetrics.outputTokenCount",
        "cache_read_tokens": "amazon-bedrock-invocationMetrics.cacheReadInputTokenCount",
        "cache_write_5m_tokens": "amazon-bedrock-invocationMetrics.cacheWriteInputTokenCount",
    },
)

INVOKE_HEADERS = Source(
    name="bedrock.invoke_headers",
    convention="disjoint",
    known_by=("x-amzn-bedrock-input-token-count",),
    fixed=_FIXED,
    fields={
        "event_id": "x-amzn-requestid",
        "model": "modelId",
        "latency_ms": "x-amzn-bedrock-invocation-latency",
        "input_tokens": "x-amzn-bedrock-input-token-count",
        "output_tokens": "x-amzn-bedrock-output-token-count",
        "cache_read_tokens": "x-amzn-bedrock-cache-read-input-token-count",
        "cache_write_5m_tokens": "x-amzn-bedrock-cache-write-input-token-count",
    },
)

INVOCATION_LOG = Source(
    name="bedrock.invocation_log",
    convention="disjoint",
    known_by=("input.inputTokenCount", "modelId"),
    fixed=_FIXED,
    fields={
        "event_id": "requestId",
        "occurred_at": "timestamp",
        "model": "modelId",
        "operation": "operation",
        "region": "region",
        "user_id": "identity.arn",
        "input_tokens": "input.inputTokenCount",
        "output_tokens": "output.outputTokenCount",
        "cache_read_tokens": "input.cacheReadInputTokenCount",
        "cache_write_5m_tokens": "input.cacheWriteInputTokenCount",
    },
)

SOURCES = (CONVERSE, INVOKE_METRICS, INVOKE_HEADERS, INVOCATION_LOG)
