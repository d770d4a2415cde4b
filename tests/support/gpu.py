"""Scrapes of a DCGM exporter, written for tests: four devices of one node, as dcgm-exporter 4 words them."""

from collections.abc import Iterator

MODEL = "NVIDIA H100 80GB HBM3"
BLANK = "9223372036854775794"
DECLARED = """
kind: Price
name: gpu/h100-sxm
spec: {gpu: NVIDIA H100 80GB HBM3, usd_per_hour: 4.50, effective_from: 2026-01-01T00:00:00Z}
---
kind: Price
name: gpu/h100-sxm
spec: {gpu: NVIDIA H100 80GB HBM3, usd_per_hour: 3.00, effective_from: 2026-07-02T00:00:00Z}
---
kind: Price
name: meta/llama-4-maverick
spec:
  provider: meta
  model: llama-4-maverick
  effective_from: 2026-01-01T00:00:00Z
  usd_per_million_tokens: {input: 0.22, output: 0.85}
---
kind: Price
name: vllm/llama-4-maverick
spec:
  provider: vllm
  model: llama-4-maverick
  effective_from: 2026-01-01T00:00:00Z
  usd_per_million_tokens: {input: 0, output: 0}
---
kind: Owner
name: ranker-pods
spec:
  match: {namespace: search, pod_prefix: ranker-}
  team: search
  project: rank
  environment: prod
  cost_center: cc-1
  service: ranker
---
kind: Owner
name: lab-jobs
spec: {match: {namespace: research}, team: research, project: lab}
"""


def scrape(engine: float = 0.25) -> str:
    """One scrape. GPU-0: a pod, `engine` of it busy. GPU-1: MIG, one of two instances held. GPU-2: nobody's.
    GPU-3: a model without a price, shared by two pods in time slices."""
    return "\n".join(_lines(engine)) + "\n"


def _lines(engine: float) -> Iterator[str]:
    yield "# HELP DCGM_FI_PROF_GR_ENGINE_ACTIVE Ratio of time the graphics engine is active."
    yield "# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge"
    ranker = _pod("search", "ranker-7d9f", "server")
    lab = _pod("research", "lab-0", "main")
    for metric, value in (("DCGM_FI_PROF_GR_ENGINE_ACTIVE", engine), ("DCGM_FI_DEV_GPU_UTIL", 97)):
        yield _line(metric, 0, value, ranker)
    yield _line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 1, 0.5, f"{_mig(1, '3g.40gb')},{lab}")
    yield _line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 1, 0.0, _mig(2, "1g.10gb"))
    yield _line("DCGM_FI_DEV_GPU_TEMP", 1, 41)
    yield _line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 2, BLANK)
    yield _line("DCGM_FI_DEV_GPU_UTIL", 2, 0)
    for i in (0, 1):
        pod = _pod("search", f"ranker-{i}", "server")
        yield _line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 3, 0.4, f'{pod},vgpu="{i}"', "NVIDIA B200")
    for gpu in range(3):
        yield _line("DCGM_FI_DEV_FB_USED", gpu, 40_000)
        yield _line("DCGM_FI_DEV_FB_FREE", gpu, 41_000)


def _line(metric: str, gpu: int, value: object, more: str = "", model: str = MODEL) -> str:
    labels = f'gpu="{gpu}",UUID="GPU-{gpu}",pci_bus_id="0",device="nvidia{gpu}",modelName="{model}",Hostname="node-7"'
    return f"{metric}{{{labels}{',' if more else ''}{more}}} {value}"


def _pod(namespace: str, pod: str, container: str) -> str:
    return f'container="{container}",namespace="{namespace}",pod="{pod}"'


def _mig(instance: int, profile: str) -> str:
    return f'GPU_I_PROFILE="{profile}",GPU_I_ID="{instance}"'
