"""Is this spending normal? Detectors on cost deltas, in event time, pure and deterministic.

deltas → closed minutes per organisation (`watermark`) → sums per series (`series`) → detectors (`spike`, `hour_3x`,
`user_10x`, `models`) → findings → one alert per incident, revised in place (`incidents`).
State: everything `AnomalyEngine.snapshot()` returns.
"""

from spendstream.domain.anomalies.engine import AnomalyEngine
from spendstream.domain.anomalies.organisation import Caps
from spendstream.domain.anomalies.watermark import Lateness

__all__ = ["AnomalyEngine", "Caps", "Lateness"]
