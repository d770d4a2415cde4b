"""Load generator: replays real traces and seeded scenarios onto the topics, and keeps the exact truth."""
