"""What a line of a bill means for us."""

from decimal import Decimal

import pytest

from spendstream.domain.billing.meaning import metered, model_id, model_of, owner_tags, provider_id, spend_category


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("Amazon Web Services, Inc.", "aws"),
        ("AWS", "aws"),
        ("Microsoft", "azure"),
        ("Google Cloud", "google"),
        ("OpenAI, L.L.C.", "openai"),
        ("Anthropic, PBC", "anthropic"),
        ("xAI", "x-ai"),
        ("Acme AI Inc.", "acme-ai"),
        ("test", "test"),
    ],
)
def test_a_provider_is_known_by_the_name_usage_has(name: str, identity: str) -> None:
    assert provider_id(name) == identity


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("GPT-5.4", "gpt-5.4"),
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
        ("anthropic.claude-sonnet-4-6-v1:0", "claude-sonnet-4-6"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("Claude Opus 4.8", "claude-opus-4.8"),
    ],
)
def test_a_model_is_spelled_as_usage_spells_it(name: str, model: str) -> None:
    assert model_id(name) == model


def test_a_model_is_found_in_an_own_column_or_in_the_price_details() -> None:
    assert model_of({"x_ModelId": "GPT-5.4"}) == "gpt-5.4"
    assert model_of({"SkuPriceDetails": '{"ModelId": "gpt-5.5", "TokenDirection": "input"}'}) == "gpt-5.5"
    assert model_of({"SkuPriceDetails": "not json"}) == model_of({"SkuPriceDetails": "[1]"}) == model_of({}) == ""


@pytest.mark.parametrize(
    ("unit", "quantity", "found"),
    [
        ("Tokens", "5", ("tokens", 5)),
        ("1M Tokens", "0.4115", ("tokens", 411_500)),
        ("1K tokens", "2", ("tokens", 2_000)),
        ("1,000 Tokens", "3", ("tokens", 3_000)),
        ("Million Input Tokens", "1", ("tokens", 10**6)),
        ("Requests", "7", ("requests", 7)),
        ("API Requests", "7", ("requests", 7)),
        ("GB", "7", None),
        (None, "1", None),
    ],
)
def test_quantities_of_tokens_and_requests_are_counted(unit: str | None, quantity: str, found: object) -> None:
    assert metered(unit, Decimal(quantity)) == found


@pytest.mark.parametrize(
    ("line", "category"),
    [
        (("openai", "AI and Machine Learning", "API", None), "external_apis"),
        (("aws", "AI and Machine Learning", "Amazon Bedrock claude input tokens", None), "external_apis"),
        (("aws", "AI and Machine Learning", "SageMaker training job", None), "compute_training"),
        (("aws", "AI and Machine Learning", "SageMaker endpoint", None), "compute_inference"),
        (("aws", "Compute", "p5.48xlarge", None), "compute_inference"),
        (("aws", "Compute", "t3.micro", None), "infrastructure"),
        (("aws", "Storage", "S3", None), "data_storage"),
        (("aws", "Databases", "RDS", None), "data_storage"),
        (("azure", "Analytics", "Synapse", None), "data_processing"),
        (("acme", "Business Applications", "CRM", None), "licensing"),
        (("openai", "", "", None), "external_apis"),
        (("acme", "", "", "1K Tokens"), "external_apis"),
        (("acme", "", "", "GB"), "infrastructure"),
    ],
)
def test_a_line_has_a_spend_category(line: tuple[str, str, str, str | None], category: str) -> None:
    assert spend_category(*line) == category


def test_owners_come_from_tags_however_they_are_spelled() -> None:
    tags = {"user:Team": "search", "Cost-Center": "cc-1", "Env": "prod", "other": "x"}
    assert owner_tags(tags) == {
        "team": "search",
        "project": "unallocated",
        "environment": "prod",
        "cost_center": "cc-1",
    }
