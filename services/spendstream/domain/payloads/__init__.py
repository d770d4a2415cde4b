"""From any source's own payload to the fields of a `Usage` record (domain.md §2).

One table per source says where each field lies (`openai.py`, `anthropic.py`, `google.py`, `bedrock.py`,
`telemetry.py`, `gateways.py`), one engine reads them (`engine.py`). What classes contain which is a property of the
source and goes into `convention`; `domain/tokens.py` makes disjoint buckets of it. Pure: no clock, no files.
"""

from spendstream.domain.payloads.adapt import SOURCES, adapt, buckets, recognise
from spendstream.domain.payloads.source import Adapted, Refused, Source

__all__ = ["SOURCES", "Adapted", "Refused", "Source", "adapt", "buckets", "recognise"]
