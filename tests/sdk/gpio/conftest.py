"""The board that the tests of this folder share."""

from tests.stand_ins.gpio import board  # noqa: F401 - a fixture
