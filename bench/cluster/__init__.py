"""``make cluster``: three RabbitMQ nodes and two hosts of the service, taken away one by one."""
