"""The stack on a bare machine: Apache Kafka, PostgreSQL and our services as supervised local processes on loopback."""
