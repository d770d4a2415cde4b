"""Which line of a bill a row is: the same in every export of that bill, whatever its amounts say by then."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Columns some exporters give each line an id in; FOCUS has none of its own.
OWN_ID_COLUMNS = ("x_lineid", "x_lineitemid", "x_chargeid", "x_billinglineid", "x_invoicelineitemid", "x_rowid")
#: What tells lines apart without an amount, a quantity, a price or a tag: those are what a correction corrects.
IDENTIFYING = (
    "billingaccountid", "subaccountid", "invoiceid", "billingcurrency", "chargecategory", "chargeclass",
    "chargedescription", "chargefrequency", "chargeperiodstart", "chargeperiodend", "servicename", "servicecategory",
    "publishername", "regionid", "availabilityzone", "resourceid", "resourcetype", "skuid", "skupriceid", "skumeter",
    "skupricedetails", "pricingcategory", "pricingunit", "consumedunit", "pricingcurrency", "commitmentdiscountid",
    "commitmentdiscountstatus", "capacityreservationid", "capacityreservationstatus", "allocatedresourceid",
)  # fmt: skip


@dataclass
class Occurrences:
    """Counts rows that cannot be told apart, in the order they come: the first is plain, the next are `#2`, `#3`, …

    One for each file; one for several files that are parts of the same bill.
    """

    _seen: dict[tuple[str, ...], int] = field(default_factory=dict)

    def line_id(self, scope: tuple[str, ...], cells: Mapping[str, str]) -> str:
        """Id of a line inside `scope` (organisation, provider, billing period). `cells`: lower-case column → text."""
        own = next((cells[column] for column in OWN_ID_COLUMNS if column in cells), None)
        name = own if own is not None else _digest(cells)
        count = self._seen[(*scope, name)] = self._seen.get((*scope, name), 0) + 1
        return name if count == 1 else f"{name}#{count}"


def _digest(cells: Mapping[str, str]) -> str:
    """32 hexadecimal digits of the identifying columns that say something."""
    parts = [f"{column}={cells[column]}" for column in IDENTIFYING if column in cells]
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
