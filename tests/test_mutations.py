"""The deliberate faults of mutations.py can be put in place, and tests see them."""

import pytest
from mutations import FAULTS, ROOT, Copy, Fault, copied, faulty


def test_every_fault_can_be_put_in_place_and_has_a_name_of_its_own():
    for fault in FAULTS:
        content = (ROOT / fault.file).read_text()
        assert faulty(content, fault) != content, fault.name
        assert all((ROOT / test.partition("::")[0]).is_file() for test in fault.tests.split()), fault.name
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60


@pytest.fixture(scope="module")
def copy(request):
    """A copy of the tree on which the tests of every fault that was asked for pass."""
    items = request.session.items
    asked = [item.callspec.params["fault"] for item in items if item.get_closest_marker("mutation")]
    with copied() as copy:
        copy.require_passing(asked)
        yield copy


@pytest.mark.mutation
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught(copy: Copy, fault: Fault):
    assert copy.catches(fault), f"no test of {fault.tests} sees {fault.name}"
