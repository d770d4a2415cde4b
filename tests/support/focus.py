"""FOCUS 1.2 as its specification has it, and its public validator where it is installed (`make validator`)."""

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

MANDATORY = """
BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory
ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost
PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName
"""
CONDITIONAL = """
AvailabilityZone BillingAccountType CapacityReservationId CapacityReservationStatus ChargeFrequency
CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity
CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedUnitPrice
InvoiceId ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost
PricingCurrencyListUnitPrice RegionId RegionName ResourceId ResourceName ResourceType ServiceSubcategory SkuId SkuMeter
SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags
"""
FOCUS_1_2 = {*MANDATORY.split(), *CONDITIONAL.split()}
NEVER_NULL = {
    *MANDATORY.split(),
    *("ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "PricingCategory"),
    *("SkuId", "SkuPriceId", "SkuMeter", "ServiceSubcategory", "ChargeFrequency"),
} - {"ChargeClass"}
VALIDATOR = Path(".focus/bin/focus-validator").absolute()
# InvoiceId-C-004 and -005 are the two arms of one OR (null, or not null): one of them fails for any file.
EITHER_OR = {"InvoiceId-C-005-C"}
APPLIES = (
    "ACCOUNT_NAMING_SUPPORTED,NEGOTIATED_PRICING_SUPPORTED,PUBLIC_PRICE_LIST_SUPPORTED,USAGE_MEASUREMENT_SUPPORTED,"
    "UNIT_PRICING_SUPPORTED,SUB_ACCOUNT_SUPPORTED,TAGGING_SUPPORTED,REGION_SUPPORTED"
)

needs_validator = pytest.mark.skipif(
    not VALIDATOR.exists(), reason="NOT TESTED: `make validator` installs it where there is Python 3.12 or 3.13"
)


def assert_mandatory(rows: Iterable[Mapping[str, str]]) -> None:
    """What FOCUS never wants null is said, and a quantity with its unit; only usage is measured."""
    for row in rows:
        measured = row["ChargeCategory"] == "Usage"
        never = NEVER_NULL if measured else set(MANDATORY.split()) - {"ChargeClass", "PricingQuantity", "PricingUnit"}
        assert not [name for name in never if row[name] == ""], row
        assert (row["ChargeClass"] or "Correction") == "Correction"
        for quantity, unit in (("PricingQuantity", "PricingUnit"), ("ConsumedQuantity", "ConsumedUnit")):
            assert (row[quantity] == "") == (row[unit] == "") == (not measured)


def failures(export: Path) -> set[str]:
    """Rules of FOCUS 1.2 that an export breaks, as the public validator sees it."""
    found = export.with_suffix(".xml")
    [packages] = VALIDATOR.parents[1].glob("lib/python3*/site-packages")
    done = subprocess.run(
        [str(VALIDATOR), "--data-file", str(export), "--validate-version", "1.2", "--block-download",
         "--applicability-criteria", APPLIES, "--output-type", "unittest", "--output-destination", str(found)],
        cwd=packages,  # it looks its currency codes up from there
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert found.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    cases: list[Any] = list(ET.parse(found).iter("testcase"))
    assert len(cases) > 500
    return {case.get("name").split(" ")[0] for case in cases if case.find("failure") is not None}
