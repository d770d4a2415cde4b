"""Gemini API and Vertex AI: `usageMetadata`.

`promptTokenCount` contains cached tokens and every modality; tool results (`toolUsePromptTokenCount`) and thoughts come
on top. Some answers count thoughts inside `candidatesTokenCount` already: the total tells which.
"""

from dataclasses import replace

from spendstream.domain.payloads.source import INCLUSIVE, Check, Source

_META = "usageMetadata"
_CAMEL = {
    "event_id": "responseId",
    "occurred_at": "createTime",
    "model": "modelVersion",
    "service_tier": f"{_META}.serviceTier | {_META}.trafficType",
    "input_tokens": f"{_META}.promptTokenCount + {_META}.toolUsePromptTokenCount | {_META}.toolUsePromptTokenCount",
    "output_tokens": f"{_META}.candidatesTokenCount + {_META}.thoughtsTokenCount | {_META}.thoughtsTokenCount",
    "cache_read_tokens": f"{_META}.cachedContentTokenCount",
    "reasoning_tokens": f"{_META}.thoughtsTokenCount",
    "audio_input_tokens": f"{_META}.promptTokensDetails[modality=AUDIO].tokenCount"
    f" - {_META}.cacheTokensDetails[modality=AUDIO].tokenCount",
    "image_input_tokens": f"{_META}.promptTokensDetails[modality=IMAGE].tokenCount"
    f" - {_META}.cacheTokensDetails[modality=IMAGE].tokenCount",
    "audio_output_tokens": f"{_META}.candidatesTokensDetails[modality=AUDIO].tokenCount",
}
#: The Python SDK's dictionaries have the same names in snake case.
_SNAKE = {
    "event_id": "response_id",
    "occurred_at": "create_time",
    "model": "model_version",
    "service_tier": "usage_metadata.traffic_type",
    "input_tokens": "usage_metadata.prompt_token_count + usage_metadata.tool_use_prompt_token_count",
    "output_tokens": "usage_metadata.candidates_token_count + usage_metadata.thoughts_token_count"
    " | usage_metadata.thoughts_token_count",
    "cache_read_tokens": "usage_metadata.cached_content_token_count",
    "reasoning_tokens": "usage_metadata.thoughts_token_count",
    "audio_input_tokens": "usage_metadata.prompt_tokens_details[modality=AUDIO].token_count"
    " - usage_metadata.cache_tokens_details[modality=AUDIO].token_count",
    "image_input_tokens": "usage_metadata.prompt_tokens_details[modality=IMAGE].token_count"
    " - usage_metadata.cache_tokens_details[modality=IMAGE].token_count",
    "audio_output_tokens": "usage_metadata.candidates_tokens_details[modality=AUDIO].token_count",
}


def _source(name: str, known_by: str, fields: dict[str, str], total: str, candidates: str) -> Source:
    thoughts_apart = Source(
        name=name,
        convention="inclusive",
        known_by=(known_by,),
        # Zero counts are left out of the JSON: a blocked prompt has no candidates.
        fixed={"provider": "google", "operation": "chat", "output_tokens": 0},
        fields=fields,
        required=("model", "input_tokens"),
        checks=(Check(total, INCLUSIVE),),
    )
    thoughts_inside = replace(thoughts_apart, fields={**fields, "output_tokens": candidates})
    return replace(thoughts_apart, otherwise=(thoughts_inside,))


SOURCES = (
    _source("google.gemini", _META, _CAMEL, f"{_META}.totalTokenCount", f"{_META}.candidatesTokenCount"),
    _source(
        "google.genai", "usage_metadata.prompt_token_count", _SNAKE,
        "usage_metadata.total_token_count", "usage_metadata.candidates_token_count",
    ),
)  # fmt: skip
