"""OpenAI and Azure OpenAI: chat completions, responses, embeddings, images, realtime; and their imitators.

`prompt_tokens` / `input_tokens` contain cached, cache-write, audio and image tokens; `completion_tokens` /
`output_tokens` contain reasoning. Cached audio and image tokens count once, as cached. A streamed answer says its usage
in the last chunk (`stream_options.include_usage`) or in the event `response.completed`.

Imitators have names of their own: DeepSeek for cached, LiteLLM's proxy (Anthropic's) for cache reads and writes. xAI
counts reasoning beside `completion_tokens`: the total tells.
"""

from dataclasses import replace

from spendstream.domain.payloads.source import INCLUSIVE, Check, Source

_WRITTEN = "usage.prompt_tokens_details.cache_creation_token_details"

_CHAT = Source(
    name="openai.chat",
    convention="inclusive",
    known_by=("usage.prompt_tokens",),
    fixed={"provider": "openai", "operation": "chat"},
    fields={
        "event_id": "id",
        "occurred_at": "created",
        "model": "model",
        "operation": "object",
        "service_tier": "service_tier",
        "input_tokens": "usage.prompt_tokens",
        "output_tokens": "usage.completion_tokens",
        "cache_read_tokens": "usage.prompt_tokens_details.cached_tokens | usage.prompt_cache_hit_tokens"
        " | usage.cache_read_input_tokens",
        "cache_write_5m_tokens": "usage.prompt_tokens_details.cache_write_tokens"
        f" | {_WRITTEN}.ephemeral_5m_input_tokens | usage.cache_creation_input_tokens"
        f" - {_WRITTEN}.ephemeral_1h_input_tokens | usage.prompt_tokens_details.cache_creation_tokens",
        "cache_write_1h_tokens": f"{_WRITTEN}.ephemeral_1h_input_tokens",
        "reasoning_tokens": "usage.completion_tokens_details.reasoning_tokens",
        "audio_input_tokens": "usage.prompt_tokens_details.audio_tokens"
        " - usage.prompt_tokens_details.cached_tokens_details.audio_tokens",
        "audio_output_tokens": "usage.completion_tokens_details.audio_tokens",
        "image_input_tokens": "usage.prompt_tokens_details.image_tokens"
        " - usage.prompt_tokens_details.cached_tokens_details.image_tokens",
    },
    checks=(Check("usage.total_tokens", INCLUSIVE),),
)


def _or_reasoning_apart(chat: Source) -> Source:
    output = "usage.completion_tokens + usage.completion_tokens_details.reasoning_tokens"
    return replace(chat, otherwise=(replace(chat, fields={**chat.fields, "output_tokens": output}),))


CHAT = _or_reasoning_apart(_CHAT)

AZURE_CHAT = _or_reasoning_apart(
    replace(
        _CHAT,
        name="azure.chat",
        known_by=("usage.prompt_tokens", "prompt_filter_results | prompt_annotations"),
        fixed={"provider": "azure", "operation": "chat"},
    )
)

EMBEDDINGS = replace(
    _CHAT,
    name="openai.embeddings",
    known_by=("usage.prompt_tokens", "data"),
    fixed={"provider": "openai", "operation": "embeddings", "output_tokens": 0},
    required=("model", "input_tokens"),
)

RESPONSES = Source(
    name="openai.responses",
    convention="inclusive",
    known_by=("usage.input_tokens", "usage.input_tokens_details | object | usage.total_tokens"),
    fixed={"provider": "openai", "operation": "chat"},
    fields={
        "event_id": "id",
        "occurred_at": "created_at | created",
        "model": "model",
        "service_tier": "service_tier",
        "user_id": "safety_identifier | user",
        "max_tokens": "max_output_tokens",
        "input_tokens": "usage.input_tokens",
        "output_tokens": "usage.output_tokens",
        "cache_read_tokens": "usage.input_tokens_details.cached_tokens",
        "cache_write_5m_tokens": "usage.input_tokens_details.cache_write_tokens",
        "reasoning_tokens": "usage.output_tokens_details.reasoning_tokens",
        "audio_input_tokens": "usage.input_tokens_details.audio_tokens",
        "audio_output_tokens": "usage.output_tokens_details.audio_tokens",
        "image_input_tokens": "usage.input_tokens_details.image_tokens",
    },
    checks=(Check("usage.total_tokens", INCLUSIVE),),
)

AZURE_RESPONSES = replace(
    RESPONSES,
    name="azure.responses",
    known_by=("usage.input_tokens", "content_filters"),
    fixed={"provider": "azure", "operation": "chat"},
)

IMAGES = replace(
    RESPONSES,
    name="openai.images",
    known_by=("usage.input_tokens", "usage.input_tokens_details.image_tokens", "data"),
    fixed={"provider": "openai", "operation": "image_generation"},
)

TRANSCRIPTION = replace(
    RESPONSES,
    name="openai.transcription",
    known_by=("usage.input_tokens", "usage.input_token_details.audio_tokens", "text"),
    fixed={"provider": "openai", "operation": "transcription"},
    fields={**RESPONSES.fields, "audio_input_tokens": "usage.input_token_details.audio_tokens"},
)

REALTIME = replace(
    RESPONSES,
    name="openai.realtime",
    known_by=("usage.input_tokens", "usage.input_token_details"),
    fields={
        "event_id": "id",
        "model": "model",
        "session_id": "conversation_id",
        "input_tokens": "usage.input_tokens",
        "output_tokens": "usage.output_tokens",
        "cache_read_tokens": "usage.input_token_details.cached_tokens",
        "audio_input_tokens": "usage.input_token_details.audio_tokens"
        " - usage.input_token_details.cached_tokens_details.audio_tokens",
        "image_input_tokens": "usage.input_token_details.image_tokens"
        " - usage.input_token_details.cached_tokens_details.image_tokens",
        "audio_output_tokens": "usage.output_token_details.audio_tokens",
    },
)

#: Rows of the organisation usage report, from its API and from the dashboard's CSV. Modality columns leave cached
#: tokens out where the report has `input_uncached_tokens`; before that, audio contained them.
USAGE_REPORT = Source(
    name="openai.usage_report",
    convention="inclusive",
    known_by=("num_model_requests", "input_tokens"),
    fixed={"provider": "openai", "operation": "chat"},
    fields={
        "occurred_at": "start_time | start_time_iso",
        "model": "model",
        "project": "project_name | project_id",
        "user_id": "user_id",
        "api_key_id": "api_key_id",
        "service_tier": "batch | service_tier",
        "requests": "num_model_requests",
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_tokens": "input_cached_tokens",
        "cache_write_5m_tokens": "input_cache_write_tokens",
        "audio_input_tokens": "input_audio_tokens",
        "audio_output_tokens": "output_audio_tokens",
        "image_input_tokens": "input_image_tokens",
    },
    required=("model", "input_tokens", "requests", "occurred_at"),
    checks=(
        Check("input_uncached_tokens + input_cached_tokens + input_cache_write_tokens", (("input_tokens",),)),
    ),
)  # fmt: skip

SOURCES = (
    AZURE_CHAT,
    EMBEDDINGS,
    CHAT,
    IMAGES,
    TRANSCRIPTION,
    REALTIME,
    AZURE_RESPONSES,
    RESPONSES,
)
