"""What knows Kafka, Avro, ClickHouse, health and metrics, and not one business rule."""
