"""Triggers that are named by an address: which one it is, and what opens it."""

from __future__ import annotations

from dataclasses import dataclass

from edgead.errors import DataError
from edgead.sources.address import redact
from edgead.verdicts.trigger import Trigger

SCHEMES = ("mqtt", "mqtts", "gpio")


@dataclass(frozen=True, repr=False)
class TriggerAddress:
    """`mqtt://host/topic`, `mqtts://host/topic` or `gpio://...`, with what that kind takes besides. Raises DataError
    for any other scheme; what follows it is looked at by `open_trigger`."""

    text: str

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            todo = f"give an address that begins with {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
            raise DataError("there is no such trigger", self.where, todo)

    @property
    def scheme(self) -> str:
        """`mqtt`, `mqtts` or `gpio`."""
        scheme, found, _ = self.text.partition("://")
        return scheme.lower() if found else ""

    @property
    def where(self) -> str:
        """The address as messages have it, without its secrets."""
        return redact(self.text)

    def __repr__(self) -> str:
        return f"TriggerAddress({self.where!r})"


def open_trigger(address: TriggerAddress) -> Trigger:
    """The trigger behind an address; whoever has it closes it. Raises an EdgeadError where it cannot be had now."""
    if address.scheme == "gpio":
        from edgead.gpio.trigger import GpioTrigger

        return GpioTrigger.at(address.text)
    from edgead.mqtt.trigger import MqttTrigger

    return MqttTrigger.at(address.text)
