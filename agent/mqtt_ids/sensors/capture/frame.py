"""A frame as it was captured."""

# Time (s since the epoch), link type (LINKTYPE_…), length on the wire, bytes captured. A bare
# tuple: one is made for each frame of gigabytes.
Frame = tuple[float, int, int, bytes]

LONGEST = 262_144 + 1_024  # bytes: tcpdump's largest snapshot, and room for what stands before it
