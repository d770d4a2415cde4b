"""Names of FOCUS columns, 1.0 to 1.4, and how they are found in the header of a file."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

_NAMES: Final = """
AllocatedMethodDetails AllocatedMethodId AllocatedResourceId AllocatedResourceName AllocatedTags AvailabilityZone
BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency BillingPeriodEnd BillingPeriodStart
CapacityReservationId CapacityReservationStatus ChargeCategory ChargeClass ChargeDescription ChargeFrequency
ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName
CommitmentDiscountQuantity CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit
CommitmentProgramEligibilityDetails ConsumedQuantity ConsumedUnit ContractApplied ContractedCost ContractedUnitPrice
EffectiveCost HostProviderName InvoiceDetailId InvoiceId InvoiceIssuerName ListCost ListUnitPrice PricingCategory
PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice
PricingQuantity PricingUnit ProviderName PublisherName RegionId RegionName ResourceId ResourceName ResourceType
ServiceCategory ServiceName ServiceProviderName ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId
SubAccountId SubAccountName SubAccountType Tags
"""
FOCUS: Final = frozenset(_NAMES.split())
_SPELLED: Final[Mapping[str, str]] = {name.lower(): name for name in FOCUS}


def spelled(name: str) -> str:
    """A column's name as FOCUS spells it: `Billed Cost` and `billed_cost` are BilledCost. Others stay as they are."""
    bare = name.strip().lstrip("\ufeff").strip()
    return bare if bare.lower().startswith("x_") else _SPELLED.get(re.sub(r"[ _]", "", bare.lower()), bare)


def known(header: Sequence[str]) -> int:
    """How many of the names are FOCUS columns."""
    return sum(spelled(name) in FOCUS for name in header)
