"""RabbitMQ: connection, topology, deliveries, dead letters."""
