import pytest

from tests.support.program import Program


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Program:
    return Program(tmp_path_factory.mktemp("program"))


@pytest.fixture
def program(installed):
    """The program; what a test started and did not wait for is killed."""
    yield installed
    for process in installed.started:
        process.kill()
        process.communicate()
    installed.started.clear()
