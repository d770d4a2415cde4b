"""The embedded stack: a Kafka broker and a ClickHouse endpoint without Docker, for laptops, the demo and tests.

Services never import this: they know only ``KAFKA_BOOTSTRAP`` and ``CLICKHOUSE_URL`` (design §8).
"""
