"""Scenario files: what is generated, how fast, and what goes wrong in it. Read and checked here, run in `run`."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from loadgen.company import Caller, WorldSpec
from loadgen.disorder import Faults
from loadgen.incidents import Incident
from loadgen.poison import FORMS
from loadgen.world import SECOND

DEFAULT_WORLD = Path(__file__).parent / "defaults" / "world.yaml"
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
ANCHORS = ("start", "live", "end")

Share = Annotated[float, Field(ge=0, le=1)]


class ScenarioError(ValueError):
    """A file cannot be used; the text has a line `file: field: what is wrong` per mistake."""


def seconds(text: str) -> float:
    """`90s`, `10m`, `1.5h`, `2d` in seconds; `ValueError` otherwise."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise ValueError(f"{text!r} is no duration; write 90s, 10m, 1.5h or 2d")
    return float(found[1]) * UNITS[found[2]]


def _is_duration(text: str) -> str:
    seconds(text)
    return text


def _is_moment(text: str) -> str:
    moment(text, dict.fromkeys(ANCHORS, 0))
    return text


def moment(text: str, anchors: dict[str, int]) -> int:
    """`start+2d`, `live+30s`, `end-5m` as microseconds, given the anchors' microseconds."""
    found = re.fullmatch(r"(start|live|end)(?:([+-])(.+))?", text.replace(" ", ""))
    if not found:
        raise ValueError(f"{text!r} is no moment; write start+2d, live+30s or end-5m")
    offset = int(seconds(found[3]) * SECOND) if found[3] else 0
    return anchors[found[1]] + (-offset if found[2] == "-" else offset)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FaultSpec(_Strict):
    """Shares of the events that are re-sent, contradicted, broken or late."""

    duplicates: Share = 0.0
    conflicts: Share = 0.0
    poison: Share = 0.0
    poison_forms: list[Literal[FORMS]] = Field(list(FORMS), min_length=1)  # type: ignore[valid-type]
    late: Share = 0.0
    late_by: Annotated[str, AfterValidator(_is_duration)] = "15m"
    resend_after: Annotated[str, AfterValidator(_is_duration)] = "2m"
    size_limit_records: int = Field(3, ge=0, le=20)

    def faults(self) -> Faults:
        """As the generator wants it."""
        return Faults(
            self.duplicates, self.conflicts, self.poison, tuple(self.poison_forms), self.late,
            seconds(self.late_by), seconds(self.resend_after), self.size_limit_records,
        )  # fmt: skip


class BatchSpec(_Strict):
    """How much of the traffic travels in producer-side batches, and how large these are."""

    share: Share = 0.0
    size: int = Field(500, ge=1, le=1_000)


class IncidentSpec(_Strict):
    """One incident; `at` is relative to `start`, `live` or `end` of the scenario."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    kind: Literal["spike", "overspend", "output_explosion", "new_model", "runaway", "drop"]
    at: Annotated[str, AfterValidator(_is_moment)]
    lasts: Annotated[str, AfterValidator(_is_duration)]
    match: dict[Literal["org", "team", "project", "service", "feature", "provider", "model", "environment"], str] = {}
    factor: float = Field(1.0, gt=0)
    share: Share = 1.0
    model: str = ""
    requests: int = Field(0, ge=0)
    input_tokens: int = Field(0, ge=0)
    output_tokens: int = Field(0, ge=0)
    usual_output_tokens: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> "IncidentSpec":
        needs = {
            "spike": ("factor",), "overspend": ("factor",), "output_explosion": ("output_tokens",),
            "new_model": ("model",), "runaway": ("requests",), "drop": (),
        }[self.kind]  # fmt: skip
        missing = [name for name in needs if name not in self.model_fields_set]
        if missing:
            raise ValueError(f"a {self.kind} needs {', '.join(missing)}")
        if self.model and "/" not in self.model:
            raise ValueError("model: write provider/model")
        return self

    @property
    def in_live(self) -> bool:
        """True when its moment depends on where the live part begins."""
        return not self.at.startswith("start")

    def incident(self, anchors: dict[str, int]) -> Incident:
        """With its moments worked out."""
        start = moment(self.at, anchors)
        same = {f.name: getattr(self, f.name) for f in fields(Incident) if f.name in IncidentSpec.model_fields}
        return Incident(**same, start=start, end=start + int(seconds(self.lasts) * SECOND))


class Scenario(_Strict):
    """A run: history (as fast as possible, ends where the live part begins), then the live part, which ends now,
    or `ends_before` now."""

    name: str
    about: str = ""
    seed: int = 1
    rate_per_s: float = Field(gt=0)
    history_days: float = Field(0, ge=0, le=400)
    live: Annotated[str, AfterValidator(_is_duration)] = "0s"
    ends_before: Annotated[str, AfterValidator(_is_duration)] = "0s"
    speed: float = Field(1.0, gt=0)
    prices: str
    world: str = ""
    batches: BatchSpec = BatchSpec()
    history_batches: BatchSpec = BatchSpec(share=1.0, size=500)
    faults: FaultSpec = FaultSpec()
    incidents: list[IncidentSpec] = []
    base: Path = Path()  # folder the file lies in: its relative paths start there

    @model_validator(mode="after")
    def _has_length(self) -> "Scenario":
        if not self.history_days and not seconds(self.live):
            raise ValueError("nothing to do: give history_days, live, or both")
        names = [incident.name for incident in self.incidents]
        if len(set(names)) < len(names):
            raise ValueError("incidents: two have the same name")
        for incident in self.incidents:
            self._check_moment(incident)
        return self

    def _check_moment(self, incident: IncidentSpec) -> None:
        """Where history meets the live part is only known when it is reached, so no incident may begin across it."""
        live = int(self.live_s * SECOND)
        at = moment(incident.at, {"start": 0, "live": 0, "end": live})
        if incident.at.startswith("live") and not live:
            raise ValueError(f"incidents: {incident.name}: at: there is no live part")
        if live and incident.in_live and at < 0:
            raise ValueError(f"incidents: {incident.name}: at: begins before the live part; count from start")

    @property
    def live_s(self) -> float:
        """Event time of the live part, seconds."""
        return seconds(self.live)

    @property
    def prices_path(self) -> Path:
        """The price file the truth is computed with; it must be applied before the run."""
        return self.base / self.prices

    def world_spec(self) -> WorldSpec:
        """The company of this scenario; `ScenarioError` when its file is wrong."""
        return load_world(self.base / self.world if self.world else DEFAULT_WORLD)


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file; `ScenarioError` says file, field and what is wrong."""
    content = {**_mapping(path), "base": path.parent}
    try:
        scenario = Scenario.model_validate(content)
    except ValidationError as error:
        raise _explained(path, error) from None
    callers = scenario.world_spec().callers
    for place, incident in enumerate(scenario.incidents):
        if incident.requests and not any(_may_match(incident.match, caller) for caller in callers):
            raise ScenarioError(f"{path}: incidents.{place}.match: no caller of the world matches {incident.match}")
    return scenario


def load_world(path: Path) -> WorldSpec:
    """Read and check a world file (also the `--map` of a replay); `ScenarioError` as above."""
    try:
        spec = TypeAdapter(WorldSpec).validate_python(_mapping(path))
    except ValidationError as error:
        raise _explained(path, error) from None
    if not spec.callers:
        raise ScenarioError(f"{path}: callers: needs at least one")
    for place, caller in enumerate(spec.callers):
        if not caller.models or any("/" not in model for model in caller.models):
            raise ScenarioError(f"{path}: callers.{place}.models: write provider/model: weight")
        if caller.weight <= 0 or caller.users < 1 or caller.api_keys < 1:
            raise ScenarioError(f"{path}: callers.{place}: weight, users and api_keys must be positive")
    return replace(spec, callers=tuple(spec.callers))


def _may_match(match: dict[Any, str], caller: Caller) -> bool:
    models = [model.split("/", 1) for model in caller.models]
    return all(
        getattr(caller, name, None) == value or any(value in model for model in models) for name, value in match.items()
    )


def _mapping(path: Path) -> dict[str, Any]:
    try:
        first, *others = [*yaml.safe_load_all(path.read_text()), None]
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: not YAML: {error}") from None
    content, is_alone = first, others in ([], [None])
    if isinstance(content, dict) and {"kind", "spec"} <= content.keys():
        raise ScenarioError(f"{path}: this is no scenario: it holds control documents, for `spendstream apply -f`")
    if not is_alone:
        raise ScenarioError(f"{path}: must be one YAML document")
    if not isinstance(content, dict):
        raise ScenarioError(f"{path}: must be a mapping")
    return content


def _explained(path: Path, error: ValidationError) -> ScenarioError:
    lines = [f"{path}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
    return ScenarioError("\n".join(lines))
