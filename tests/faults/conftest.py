import pytest

from tests.faults.program import Program


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Program:
    return Program(tmp_path_factory.mktemp("program"))
