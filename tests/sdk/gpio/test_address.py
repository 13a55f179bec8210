"""Addresses of lines."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import DataError
from edgead.gpio.address import GpioAddress

KNOWN = ("on", "pulse")
NAMES = st.text(st.characters(categories=["L", "N", "P", "Zs", "S"]), min_size=1, max_size=20).filter(str.isprintable)


@given(NAMES, NAMES, NAMES)
def test_every_name_can_be_written(chip, line, value):
    address = GpioAddress.parse(
        f"gpio://{quote(chip, safe='')}/{quote(line, safe='')}?on={quote(value, safe='')}", KNOWN
    )
    assert address.chip == chip
    assert str(address.line) == line or int(line) == address.line
    assert address.options == {"on": value}


@given(st.text())
def test_whatever_is_written_is_an_address_or_a_data_error(text):
    for written in (text, f"gpio://{text}", f"gpio://gpiochip0/22?{text}"):
        try:
            address = GpioAddress.parse(written, KNOWN)
        except DataError as error:
            assert str(error).isprintable() or not written.isprintable()
        else:
            assert address.chip and address.line != "" and set(address.options) <= set(KNOWN)
            assert address.where.isprintable()


@given(st.integers(0, 10**7), st.sampled_from([("us", 10**6), ("ms", 1000), ("s", 1)]))
def test_times(number, unit):
    address = GpioAddress.parse(f"gpio://a/1?pulse={number}{unit[0]}", KNOWN)
    if number / unit[1] <= 10:
        assert address.seconds("pulse", 1.0, most=10) == pytest.approx(number / unit[1])
    else:
        with pytest.raises(DataError, match="no time from 0s to 10s"):
            address.seconds("pulse", 1.0, most=10)


@pytest.mark.parametrize(
    "value", ["", "1", "-1ms", "1e-3s", "nan", "infs", "1m", "1 ms", "1,5ms", "٣ms", "hold", ".5s"]
)
def test_what_is_no_time(value):
    with pytest.raises(DataError, match="give it with its unit, like pulse=200ms"):
        GpioAddress.parse(f"gpio://a/1?pulse={value}", KNOWN).seconds("pulse", 1.0, most=10)


@pytest.mark.parametrize(
    "text",
    ["", "gpio", "gpio:", "gpio://", "gpio://chip", "gpio://chip/", "gpio:///22", "gpio:/chip/22", "http://chip/22",
     "gpio://chip/2/2", "gpio://chip/2%0a", "gpio://ch%00ip/2", "?gpio://chip/22"],
)  # fmt: skip
def test_what_is_no_address(text):
    with pytest.raises(DataError, match=r"this is no address of a GPIO line.*gpio://gpiochip0/22"):
        GpioAddress.parse(text, KNOWN)


@pytest.mark.parametrize(
    ("query", "what"),
    [("", "without a name"), ("off=1", "no option off"), ("on=1&on=2", "on comes twice"), ("on=1&", "without a name"),
     ("ON=1", "no option ON")],
)  # fmt: skip
def test_options_that_are_not_there(query, what):
    with pytest.raises(DataError, match=f"{what}.*give some of on, pulse, each once"):
        GpioAddress.parse(f"gpio://chip/22?{query}", KNOWN)


def test_a_number_that_python_does_not_read_is_no_line():
    with pytest.raises(DataError, match="no GPIO line has such a number, gpio://gpiochip0, give it like"):
        GpioAddress.parse("gpio://gpiochip0/" + "2" * 5000, KNOWN)
