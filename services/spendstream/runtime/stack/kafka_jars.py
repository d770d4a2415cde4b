"""Apache Kafka's jars: copied once by Maven into a cache, from the versions `infra/kafka/pom.xml` pins."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from spendstream.runtime.stack.tansu import BrokerMissingError

_POM = "{http://maven.apache.org/POM/4.0.0}"
_MINIMUM_JAVA = 17
_INSTALL_JAVA = "apt-get install openjdk-17-jre-headless (or any JDK on PATH)"


def pinned_version(pom: Path) -> str:
    """The Kafka version of the pom."""
    found = ElementTree.parse(pom).findtext(f"{_POM}properties/{_POM}kafka.version")  # noqa: S314
    if not found:
        raise BrokerMissingError(f"{pom} does not pin kafka.version")
    return found


def default_cache() -> Path:
    """``~/.cache/spendstream`` (XDG)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spendstream"


def why_unavailable(shipped: Path, cache: Path) -> str | None:
    """What must be installed before Kafka can start; None when nothing is missing."""
    if not shutil.which("java"):
        return f"Apache Kafka needs Java {_MINIMUM_JAVA} or later: {_INSTALL_JAVA}"
    if (version := java_version()) < _MINIMUM_JAVA:
        return f"Apache Kafka needs Java {_MINIMUM_JAVA} or later, found {version}: {_INSTALL_JAVA}"
    complete = (_folder(shipped, cache) / "complete").exists()
    if not complete and not shutil.which("mvn"):
        return "Apache Kafka's jars are not in the cache yet and Maven is missing: apt-get install maven"
    return None


def java_version() -> int:
    """The major version of the ``java`` on PATH (0: cannot tell)."""
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match.group(1)) if match else 0


def jars(shipped: Path, cache: Path) -> Path:
    """The folder with the jars, filled on first use (about 45 MB); BrokerMissingError says what to install."""
    if missing := why_unavailable(shipped, cache):
        raise BrokerMissingError(missing)
    folder = _folder(shipped, cache)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _copy(shipped / "pom.xml", folder / "libs")
            (folder / "complete").touch()
    return folder / "libs"


def _folder(shipped: Path, cache: Path) -> Path:
    return cache / f"kafka-{pinned_version(shipped / 'pom.xml')}"


def _copy(pom: Path, libs: Path) -> None:
    shutil.rmtree(libs, ignore_errors=True)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={libs.resolve()}", "-DincludeScope=runtime"]
    told = subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *goal], capture_output=True, text=True, check=False)
    if told.returncode:
        raise BrokerMissingError(f"Maven could not fetch Apache Kafka:\n{told.stdout[-2000:]}{told.stderr[-2000:]}")
