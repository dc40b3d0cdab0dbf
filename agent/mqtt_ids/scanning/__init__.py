"""`mqtt-ids scan`: events of another day in, a story or alerts out."""
