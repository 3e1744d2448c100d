"""How the service is doing, for people: a page, and the same in a terminal."""
