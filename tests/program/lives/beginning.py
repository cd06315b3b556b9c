"""What the chain holds at the start of a life, said without asking it."""

from solders.pubkey import Pubkey

from settlement.chain.layouts import Config, Escrow, Parameters, PauseRecord, PauseRecords
from settlement.money import MicroUsdc
from tests.program.lives import chain
from tests.program.lives.chain import DEPLOYMENT, FIRST_TOKENS, FOREIGN_MINT, PEOPLE, key
from tests.program.model.governance import NO_PARAMETERS
from tests.program.model.state import Rents, State, Token
from tests.program.model.window import Numbers
from tests.program.world import World


def first_state(world: World, parameters: Parameters, base: int) -> State:
    """The model of a chain that was just set up."""
    never = PauseRecord(paused_until=0, not_before=0, by=Pubkey.default())
    bumps = {
        name: Pubkey.find_program_address([name.encode()], DEPLOYMENT.program_id)[1]
        for name in ("config", "payouts", "till", "escrow")
    }
    config = Config(
        ops_wallet=DEPLOYMENT.till_authority,
        config_bump=bumps["config"],
        payouts_bump=bumps["payouts"],
        till_bump=bumps["till"],
        escrow_bump=bumps["escrow"],
        mint=DEPLOYMENT.mint,
        till_vault=DEPLOYMENT.till_vault,
        bond_vault=DEPLOYMENT.bond_vault,
        escrow=DEPLOYMENT.escrow,
        payouts=DEPLOYMENT.payouts,
        admin=key("admin"),
        pending_admin=key("nobody"),
        pending_admin_ready_at=0,
        pending_admin_expires_at=0,
        proposer=key("proposer"),
        arbiter=key("arbiter"),
        guardian=key("guardian"),
        payer=key("payer"),
        pending_role=0,
        pending_role_key=key("nobody"),
        pending_role_ready_at=0,
        parameters=parameters,
        pending_parameters=NO_PARAMETERS,
        pending_parameters_ready_at=0,
        pauses=PauseRecords(deposits=never, payouts=never, seizures=never, releases=never),
    )
    vaults = {
        DEPLOYMENT.till_vault: Token(
            mint=DEPLOYMENT.mint,
            owner=DEPLOYMENT.till_authority,
            amount=chain.STARTING_MICROUSDC,
        ),
        DEPLOYMENT.bond_vault: Token(mint=DEPLOYMENT.mint, owner=DEPLOYMENT.escrow, amount=0),
    }
    rent = world.svm.minimum_balance_for_rent_exemption
    return State(
        deployment=DEPLOYMENT,
        rents=Rents(bond=rent(376), tombstone=rent(24)),
        upgrade_authority=key("authority"),
        now=world.now,
        config=config,
        escrow=Escrow(total_bonded_microusdc=MicroUsdc(0), open_count=0),
        numbers=Numbers(origin=base, base=base),
        bonds={},
        mints=frozenset({DEPLOYMENT.mint, FOREIGN_MINT}),
        tokens={**FIRST_TOKENS, **vaults},
        lamports={key(name): chain.LAMPORTS for name in (*PEOPLE, "funder")},
    )
