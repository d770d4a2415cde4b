"""The contenders, each a program of its own: `python -m loadgen.bench.peers.X`. The work is in per_event.py."""
