"""Released versions of the records: frozen copies in `schemas/released/`, and what it means that one reads another.

`python -m tests.contract.releases` freezes the version `topics.yaml` declares for each record, where it is new; what is
frozen already is never written again.
"""

import copy
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import fastavro
import yaml

from spendstream.schemas.catalogue import directory, record_json
from tests.contract.wire import records_of

RELEASED = directory() / "released"
DIGESTS = RELEASED / "sha256.txt"


def declared_versions() -> list[tuple[str, int]]:
    """Every (record, version) of topics.yaml."""
    entries = yaml.safe_load((directory() / "topics.yaml").read_text())["schemas"]
    return [(entry["record"], int(entry["version"])) for entry in entries]


def current_versions() -> dict[str, int]:
    return dict(sorted(declared_versions(), key=lambda each: each[1]))


def file_of(record: str, version: int) -> Path:
    return RELEASED / f"{record}-v{version}.avsc"


def released(record: str, version: int) -> dict[str, Any]:
    """A frozen version; records it refers to are inlined as they were then."""
    loaded: dict[str, Any] = json.loads(file_of(record, version).read_text())
    return loaded


def digests() -> dict[str, str]:
    """File name → SHA-256, in the form `sha256sum` writes and checks."""
    lines = (line.split("  ") for line in DIGESTS.read_text().splitlines())
    return {name: digest for digest, name in lines}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def meaning(declared: Any) -> Any:
    """A schema without its docs: what two versions are compared by."""
    if isinstance(declared, dict):
        return {key: meaning(value) for key, value in declared.items() if key != "doc"}
    return [meaning(each) for each in declared] if isinstance(declared, list) else declared


def unreadable(writer: dict[str, Any], reader: dict[str, Any]) -> list[str]:
    """Why data of `writer` cannot be read as `reader`; empty when it can.

    Written are records that take every branch and symbol; what both versions know must come back as it went in.
    """
    old, new = fastavro.parse_schema(copy.deepcopy(writer)), fastavro.parse_schema(copy.deepcopy(reader))
    problems: list[str] = []
    for record in records_of(writer):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, old, record)
        try:
            read = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), old, new)
        except Exception as error:  # fastavro raises SchemaResolutionError, ValueError, KeyError, …
            problems.append(f"{type(error).__name__}: {error}")
            continue
        problems += _differences(writer["name"], record, read)
    return sorted(set(problems))


def _differences(path: str, wrote: Any, read: Any) -> list[str]:
    if isinstance(wrote, dict) and isinstance(read, dict):
        return [
            each for key in wrote.keys() & read.keys() for each in _differences(f"{path}.{key}", wrote[key], read[key])
        ]
    if isinstance(wrote, list) and isinstance(read, list) and len(wrote) == len(read):
        return [each for w, r in zip(wrote, read, strict=True) for each in _differences(path, w, r)]
    return [] if wrote == read else [f"{path}: wrote {wrote!r}, read {read!r}"]


def freeze() -> list[str]:
    """Write the versions that are not there yet, and their digests; returns the names written."""
    RELEASED.mkdir(exist_ok=True)
    new = [(record, version) for record, version in current_versions().items() if not file_of(record, version).exists()]
    for record, version in new:
        file_of(record, version).write_text(
            json.dumps(json.loads(record_json(record)), indent=1, ensure_ascii=False) + "\n"
        )
    names = [file_of(record, version).name for record, version in new]
    known = digests() if DIGESTS.exists() else {}
    known |= {name: digest(RELEASED / name) for name in names}
    DIGESTS.write_text("".join(f"{known[name]}  {name}\n" for name in sorted(known)))
    return names


if __name__ == "__main__":
    print("\n".join(freeze()) or "nothing new")
