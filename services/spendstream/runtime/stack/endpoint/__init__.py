"""What turns the chDB engine into a ClickHouse server: sessions, bodies, answers, errors, access."""
