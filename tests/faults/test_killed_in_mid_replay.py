"""`kill -9` of every service while a real trace is replayed, duplicates and poison in it: `verify` finds nothing."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.installation import Installation

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
TRACE = ROOT / "examples/traces/AzureLLMInferenceTrace_code.csv"
SERVICES = ("attribution", "budgets", "anomalies", "recommendations")


@contextmanager
def replaying(system: Installation, truth: Path, speed: int) -> Iterator[subprocess.Popen[str]]:
    """The trace on its way, its truth written at the end."""
    command = [
        sys.executable, "-m", "spendstream", "load", "replay", str(TRACE), "--format", "azure-llm",
        "--speed", str(speed), "--truth", str(truth), "--duplicates", "0.05", "--poison",
        "--map", str(ROOT / "examples/demo/world.yaml"), "--prices", str(ROOT / "examples/prices.yaml"),
    ]  # fmt: skip
    environment = {**system.services["attribution"]._environment}
    replay = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield replay
    finally:
        replay.kill()
        replay.wait()


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_a_replay_is_verified_although_every_service_was_killed(
    kafka_installation: Installation, tmp_path: Path, kills: int
) -> None:
    system, chance = kafka_installation, random.Random(kills)
    services = [system.service(name) for name in SERVICES]
    for service in services:
        service.start(wait=False)
    system.run("apply", "-f", str(ROOT / "examples/prices.yaml"), "-f", str(ROOT / "examples/demo/budgets.yaml"))
    truth = tmp_path / "truth.json"
    with replaying(system, truth, speed=3_480 // (6 * kills)) as replay:
        # Every service once, attribution twice in five; the rest at random.
        victims = [*services, services[0], *(chance.choice(services) for _ in range(kills - 5))]
        chance.shuffle(victims)
        for victim in victims:
            with pytest.raises(subprocess.TimeoutExpired):
                replay.wait(chance.uniform(2.0, 5.0))
            victim.kill9()
            victim.start(wait=False)
        _, told = replay.communicate(timeout=300)
        assert replay.returncode == 0, told
    # On a busy machine what was killed last comes back late: a difference counts when it stays.
    for _ in range(3):
        verified = system.run("verify", "--truth", str(truth), "--wait", "240", check=False)
        if verified.returncode == 0:
            break
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert all(service.running for service in services)
