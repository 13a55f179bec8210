"""What the tests on a GPU share."""

from __future__ import annotations

import pytest

from edgead.kernels import library


@pytest.fixture(scope="session")
def driver():
    """pycuda's driver, in the primary context of the first device."""
    driver = pytest.importorskip("pycuda.driver", reason="pycuda finds no CUDA driver", exc_type=ImportError)
    driver.init()
    if driver.Device.count() == 0:
        pytest.skip("there is no CUDA device")
    context = driver.Device(0).retain_primary_context()
    context.push()
    yield driver
    context.pop()


@pytest.fixture(scope="session")
def image(driver):
    """The shipped CUDA image, loaded."""
    fatbin = library.find("edgead.fatbin")
    if fatbin is None:
        pytest.skip("the CUDA image was not built")
    return driver.module_from_file(str(fatbin))
