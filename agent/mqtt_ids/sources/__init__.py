"""Where events come from when nobody watches live: captures and event logs."""
