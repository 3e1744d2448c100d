"""The `make run` demonstration: private servers, the service, and sample traffic to watch."""
