"""MQTT: the address of a topic, the client behind it, and what begins parts by it (the sink is in `edgead.sinks`)."""
