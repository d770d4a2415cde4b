"""Attributes of spans: OpenTelemetry GenAI (released names and the older ones) and OpenInference.

`gen_ai.usage.input_tokens` contains cache reads and writes, `output_tokens` contains reasoning; OpenInference counts
details inside `prompt` and `completion` in the same way. Older names (`prompt_tokens`, `gen_ai.system`,
`llm.usage.*`) mean what their successors mean.
"""

from spendstream.domain.payloads.source import INCLUSIVE, Check, Source

OTEL = Source(
    name="otel.gen_ai",
    convention="inclusive",
    known_by=(
        "gen_ai.usage.input_tokens | gen_ai.usage.prompt_tokens | llm.usage.prompt_tokens"
        " | gen_ai.usage.output_tokens | gen_ai.usage.completion_tokens",
    ),
    fixed={"operation": "chat", "output_tokens": 0},
    fields={
        "event_id": "gen_ai.response.id",
        "provider": "gen_ai.provider.name | gen_ai.system",
        "model": "gen_ai.response.model | gen_ai.request.model | llm.request.model",
        "operation": "gen_ai.operation.name | llm.request.type",
        "service": "service.name",
        "environment": "deployment.environment.name | deployment.environment",
        "user_id": "enduser.pseudo.id | enduser.id | user.id",
        "session_id": "gen_ai.conversation.id | session.id",
        "max_tokens": "gen_ai.request.max_tokens",
        "status": "error.type",
        "service_tier": "openai.response.service_tier | gen_ai.openai.response.service_tier",
        "input_tokens": "gen_ai.usage.input_tokens | gen_ai.usage.prompt_tokens | llm.usage.prompt_tokens",
        "output_tokens": "gen_ai.usage.output_tokens | gen_ai.usage.completion_tokens | llm.usage.completion_tokens",
        "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens | gen_ai.usage.cache_read_input_tokens"
        " | gen_ai.usage.details.cache_read_tokens | gen_ai.usage.details.cached_tokens",
        "cache_write_5m_tokens": "gen_ai.usage.cache_creation.input_tokens | gen_ai.usage.cache_write.input_tokens"
        " | gen_ai.usage.cache_creation_input_tokens | gen_ai.usage.details.cache_write_tokens",
        "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens | gen_ai.usage.reasoning_tokens"
        " | gen_ai.usage.details.reasoning_tokens",
        "audio_input_tokens": "gen_ai.usage.details.input_audio_tokens",
        "audio_output_tokens": "gen_ai.usage.details.output_audio_tokens",
    },
    required=("provider", "model", "input_tokens"),
    checks=(Check("gen_ai.usage.total_tokens | llm.usage.total_tokens", INCLUSIVE),),
)

OPENINFERENCE = Source(
    name="openinference",
    convention="inclusive",
    known_by=("llm.token_count.prompt | llm.token_count.completion",),
    fixed={"operation": "chat", "output_tokens": 0},
    fields={
        "provider": "llm.provider | llm.system",
        "model": "llm.model_name | embedding.model_name",
        "operation": "openinference.span.kind",
        "service": "service.name",
        "user_id": "user.id",
        "session_id": "session.id",
        "input_tokens": "llm.token_count.prompt",
        "output_tokens": "llm.token_count.completion",
        "cache_read_tokens": "llm.token_count.prompt_details.cache_read"
        " | llm.token_count.prompt_details.cache_input",
        "cache_write_5m_tokens": "llm.token_count.prompt_details.cache_write",
        "audio_input_tokens": "llm.token_count.prompt_details.audio",
        "audio_output_tokens": "llm.token_count.completion_details.audio",
        "reasoning_tokens": "llm.token_count.completion_details.reasoning",
    },
    required=("provider", "model", "input_tokens"),
    checks=(Check("llm.token_count.total", INCLUSIVE),),
)  # fmt: skip

SOURCES = (OPENINFERENCE, OTEL)
