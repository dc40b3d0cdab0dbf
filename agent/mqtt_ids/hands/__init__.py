"""What the sidecar can do to an offender: through the broker's dynamic security, or nftables."""
