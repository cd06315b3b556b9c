"""`--client anchorpy`: what was confirmed is signed and sent by the independent client."""

from pathlib import Path

import pytest

from localnet.embedded import RunningChain
from tests.chain.anchorpy.conftest import anchorpy_environment
from tests.chain.cli.admin_terminal import Terminal, initialized
from tests.chain.cli.test_bond_words import BOND, CODE, deployment_of, held, status
from tests.chain.localnet.calls import Rpc

__all__ = ["anchorpy_environment"]
pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    return terminal


async def test_the_other_client_signs_what_was_shown(terminal: Terminal) -> None:
    other = ("--client", "anchorpy")
    said = await terminal.done("operator", "bond", "post", CODE, *other)
    assert said["signature"]
    assert await held(terminal, deployment_of(terminal).bond_vault) == BOND
    await terminal.done("operator", "bond", "retire", CODE, *other)
    [bond] = await status(terminal)
    assert bond["state"] == "retiring"
    said = await terminal.as_("operator", "bond", "cancel", CODE, *other, "--unsigned")
    assert said.exit_code == 2
