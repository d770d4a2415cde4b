"""Print the part of a requirements lock that the services need: without the development tools and the embedded stack.

    python runtime_requirements.py pyproject.toml requirements.lock > runtime.lock

Kept are the packages that pyproject.toml's `dependencies` name and whatever those pull in, as told by the lock's own
`# via` notes (written by `uv pip compile`); versions, markers and hashes stay as they are. Standard library only: it
runs before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PINNED = re.compile(r"([A-Za-z0-9._-]+)==")


class Entry(NamedTuple):
    """One package of the lock: its lines, and who asked for it."""

    lines: list[str]
    via: set[str]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> dict[str, Entry]:
    """Packages of a lock by normalised name; ValueError for a line that pins nothing."""
    found: dict[str, Entry] = {}
    for lines in _blocks(lock):
        match = PINNED.match(lines[0])
        if match is None:
            raise ValueError(f"not a pinned requirement: {lines[0]!r}")
        notes = (line.strip().lstrip("#").strip().removeprefix("via").strip() for line in lines if "#" in line)
        before = found.get(name := normalised(match[1]), Entry([], set()))  # one name, several Pythons: several blocks
        via = {normalised(note.split(" ")[0]) for note in notes if note}
        found[name] = Entry(before.lines + lines, before.via | via)
    return found


def _blocks(lock: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lock.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            if block:
                yield block
            block = [line]
        elif block and line.strip():
            block.append(line)
    if block:
        yield block


def needed(direct: set[str], lock: Mapping[str, Entry]) -> set[str]:
    """Names reached from `direct`; KeyError for one that the lock does not have."""
    if missing := direct - lock.keys():
        raise KeyError(f"not in the lock: {', '.join(sorted(missing))}")
    reached: set[str] = set()
    while (more := direct | {name for name, entry in lock.items() if entry.via & reached}) != reached:
        reached = more
    return reached


def runtime_lock(pyproject: str, lock: str) -> str:
    """Text of the lock for the services."""
    dependencies = tomllib.loads(pyproject)["project"]["dependencies"]
    direct = {normalised(re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0]) for each in dependencies}
    known = entries(lock)
    return "".join("\n".join(known[name].lines) + "\n" for name in sorted(needed(direct, known)))


if __name__ == "__main__":
    sys.stdout.write(runtime_lock(Path(sys.argv[1]).read_text(), Path(sys.argv[2]).read_text()))
