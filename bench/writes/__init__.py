"""``python -m bench writes``: what it costs to write a batch, way by way, without the broker."""
