"""What an agent has in common that stands beside a broker, or in front of one."""
