"""What the lab's school and `mqtt-ids train` share: calm vectors, lessons, and where calm ends."""
