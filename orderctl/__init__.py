"""The command-line client: it speaks to the system through Kafka and HTTP alone."""
