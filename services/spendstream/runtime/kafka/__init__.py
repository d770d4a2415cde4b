"""Kafka: the chunked faust transport, the one consume loop, the publisher, the write-ahead log, topic creation."""
