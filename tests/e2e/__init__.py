"""The public contract, tried on a running stack through Kafka and HTTP alone."""
