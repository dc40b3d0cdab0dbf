"""`mqtt-ids train`: a model of one's own."""
