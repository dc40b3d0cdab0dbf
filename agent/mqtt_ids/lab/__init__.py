"""Simulated homes and attackers, in virtual time or as real clients of a real broker.

`homes.make_home` draws a home, `draws.draw_attack` (or an `attackers.Attacker`) an attack on it,
`homes.record` plays both in virtual time as events, and `live.perform` plays the same scripts
against a broker. All follows from seeds.
"""
