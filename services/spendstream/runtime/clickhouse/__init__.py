"""ClickHouse: the client, the one batch writer, the migrations."""
