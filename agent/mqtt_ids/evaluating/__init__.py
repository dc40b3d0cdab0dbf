"""How good the detection is: trials in simulated homes and on captures, rivals beside them."""
