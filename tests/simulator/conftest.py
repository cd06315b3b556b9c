"""The ground of all stories of a process."""

import asyncio

import pytest

from localnet import postgres
from tests.simulator.ground import Ground, made


@pytest.fixture(scope="session")
def ground(
    postgres_cluster: postgres.Cluster,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ground:
    directory = tmp_path_factory.mktemp("ground")
    return asyncio.run(made(postgres_cluster, migrated_template, directory))
