"""The intrusion detector as an amqtt plugin: `mqtt_ids_plugin.IDSPlugin` in the broker's YAML."""

from mqtt_ids_plugin.plugin import IDSPlugin

__all__ = ["IDSPlugin"]
