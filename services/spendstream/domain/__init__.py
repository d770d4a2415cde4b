"""The rules of the field, pure: no Kafka, database, clock, randomness, logging or files; time is an argument."""
