"""Brokers for every test here."""

from tests.sdk.mqtt.broker import broker, listen, quick_mqtt  # noqa: F401 - fixtures
