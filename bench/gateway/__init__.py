"""``make gateway``: SMS through a real Jasmin to a simulated operator, settled and compared."""
