"""What a GPU costs, and whose it is: cost = price per hour × interval, shared by SM time, the rest named idle.

Walk     sample.py (one reading, checked) → sharing.py (shares of the device, adding up to it) → prices.py and
         owners.py (what an hour costs, who owns a share) → costs.py (rows). dcgm.py and table.py read recordings.
         reprice.py (what prices of now change about readings as they stand) and weights.py are columnar.
"""

from spendstream.domain.gpu.costs import (
    UNPRICED,
    CostRow,
    GpuBook,
    RatedSample,
    cost_pico_usd,
    effective_price,
    rate_sample,
)
from spendstream.domain.gpu.owners import GpuOwners
from spendstream.domain.gpu.policy import MEMORY, SM, parse_sharing
from spendstream.domain.gpu.prices import GpuPriceBook, GpuPriceRevision
from spendstream.domain.gpu.sample import BadSampleError, Sample, read_sample
from spendstream.domain.gpu.sharing import Share, share_device

__all__ = [
    "MEMORY",
    "SM",
    "UNPRICED",
    "BadSampleError",
    "CostRow",
    "GpuBook",
    "GpuOwners",
    "GpuPriceBook",
    "GpuPriceRevision",
    "RatedSample",
    "Sample",
    "Share",
    "cost_pico_usd",
    "effective_price",
    "parse_sharing",
    "rate_sample",
    "read_sample",
    "share_device",
]
