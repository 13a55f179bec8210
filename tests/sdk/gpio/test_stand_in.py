"""The stand-in has the surface of the real module."""

import enum
import inspect

import pytest

from tests.stand_ins import gpio as stand_in

gpiod = pytest.importorskip("gpiod")
CLASSES = (stand_in.Chip, stand_in.LineRequest, stand_in.LineSettings, stand_in.EdgeEvent)
ENUMS = (stand_in.Value, stand_in.Direction, stand_in.Bias, stand_in.Edge)


def parameters(function):
    """Names and kinds, and which may be left out."""
    return [(p.name, p.kind, p.default is p.empty) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("made", CLASSES, ids=lambda made: made.__name__)
def test_methods_take_what_the_real_ones_take(made):
    real = getattr(gpiod, made.__name__)
    assert parameters(made) == parameters(real)
    for name, method in vars(made).items():
        if not name.startswith("_") and inspect.isfunction(method):
            assert parameters(method) == parameters(getattr(real, name)), name
        elif isinstance(method, property):
            assert isinstance(inspect.getattr_static(real, name), property), name


@pytest.mark.parametrize("made", ENUMS, ids=lambda made: made.__name__)
def test_enums_have_the_real_members_in_their_order(made):
    real = getattr(gpiod.line, made.__name__)
    assert issubclass(real, enum.Enum)
    assert [member.name for member in made] == [member.name for member in real]


def test_the_rest_is_there():
    assert parameters(stand_in.is_gpiochip_device) == parameters(gpiod.is_gpiochip_device)
    assert [t.name for t in stand_in.EdgeEvent.Type] == [t.name for t in gpiod.EdgeEvent.Type]
    for made in (stand_in.ChipInfo, stand_in.LineInfo):
        assert set(inspect.signature(made).parameters) <= set(getattr(gpiod, made.__name__).__annotations__)
    assert set(vars(gpiod.EdgeEvent)["__annotations__"]) == set(vars(stand_in.EdgeEvent(1, 2, 3, 4, 5)))


def test_settings_begin_as_the_real_ones():
    """Objects of libgpiod itself, which checks them."""
    for setting, value in vars(stand_in.LineSettings()).items():
        real = getattr(gpiod.LineSettings(), setting)
        if value is not None:
            assert (real.name, value.name) == (value.name,) * 2 if isinstance(value, enum.Enum) else real == value
