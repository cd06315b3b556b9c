"""What the bond program does to bonds and the till: each instruction, alone or called."""

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from settlement.chain import program
from settlement.money import MicroUsdc
from tests.chain.localnet.calls import create_token_account
from tests.chain.recordings.deposit_scenes import coded
from tests.chain.recordings.recording import Recording
from tests.chain.recordings.stage import BOND, BOND_CODE, Stage, opened
from tests.chain.recordings.tokens import mint_to, plain, token, written

_MINT_SIZE = 82
_REFERENCE = bytes(range(16))


async def play() -> list[Recording]:
    """All scenes of bonds, seizures, payments and what is swept or recovered."""
    async with opened() as stage:
        await _till(stage)
        await _life(stage)
        await _seizures(stage)
        await _swept(stage)
        await _recovered(stage)
        return await stage.recorded()


def _bond(stage: Stage, code: bytes) -> Pubkey:
    """The operator's bond of this code."""
    address = stage.deployment.bond(code, stage.key("operator"))
    return stage.named(f"bond {code.decode()}", address)


async def _till(stage: Stage) -> None:
    payer, operator = stage.wallet("payer"), stage.key("operator")
    await stage.aside(coded(stage, 4 * BOND, BOND_CODE))
    _bond(stage, BOND_CODE)
    fund = program.fund_bond(
        stage.deployment,
        payer=payer.pubkey(),
        funder=payer.pubkey(),
        sequence=0,
        code=BOND_CODE,
        beneficiary=operator,
    )
    await stage.scene("fund-bond", "a bond paid from the till, by number", fund, by=[payer])
    await stage.scene("pay", "a numbered payment", _pay(stage, 1, 201), by=[payer])
    two = (_pay(stage, 2, 202), _pay(stage, 3, 202))
    await stage.scene("pay-twice", "two equal payments, two numbers", *two, by=[payer])
    called = stage.foreign.forward(_pay(stage, 4, 203))
    await stage.scene("pay-called", "a payment called by a program", called, by=[payer])
    skip = program.skip(stage.deployment, signer=payer.pubkey(), first=5, mask=0b101)
    await stage.scene("skip", "two numbers are burned", skip, by=[payer])
    called = stage.foreign.forward(
        program.skip(stage.deployment, signer=payer.pubkey(), first=10, mask=1)
    )
    await stage.scene("skip-called", "a number is burned inside a call", called, by=[payer])
    taken = (_pay(stage, 1, 204),)
    await stage.scene("pay-failed", "a number that is gone", *taken, by=[payer], fails=True)
    in_and_out = (coded(stage, 205), _pay(stage, 8, 206))
    both = [payer, stage.wallet("user")]
    await stage.scene("deposit-and-pay", "money in and out of the till", *in_and_out, by=both)


def _pay(stage: Stage, sequence: int, amount: int) -> Instruction:
    return program.pay(
        stage.deployment,
        payer=stage.key("payer"),
        sequence=sequence,
        amount_microusdc=MicroUsdc(amount),
        code=BOND_CODE,
        reference=_REFERENCE,
        destination=stage.ata("operator"),
    )


async def _post(stage: Stage, code: bytes, name: str | None, *, called: bool = False) -> None:
    operator = stage.wallet("operator")
    _bond(stage, code)
    built = program.post_bond(
        stage.deployment,
        depositor=operator.pubkey(),
        funder=operator.pubkey(),
        code=code,
        beneficiary=operator.pubkey(),
    )
    made = stage.foreign.forward(built) if called else built
    if name is None:
        await stage.aside(made, by=[operator])
    else:
        await stage.scene(name, "a bond posted by its operator", made, by=[operator])


async def _life(stage: Stage) -> None:
    operator, user = stage.wallet("operator"), stage.wallet("user")
    wallet, code = operator.pubkey(), b"POSTED01"
    await _post(stage, code, "post-bond")
    await _post(stage, b"POSTED02", "post-bond-called", called=True)
    bond = _bond(stage, code)
    retire = stage.build(program.Retire(signer=wallet, bond=bond, code=code))
    again = stage.build(program.CancelRetire(beneficiary=wallet, bond=bond, code=code))
    await stage.scene("retire", "the cooldown starts", retire, by=[operator])
    await stage.scene("cancel-retire", "and is stopped", again, by=[operator])
    hand_over = program.SetBeneficiary(
        beneficiary=wallet, new_beneficiary=user.pubkey(), bond=bond, code=code
    )
    await stage.scene(
        "set-beneficiary", "it changes hands", stage.build(hand_over), by=[operator, user]
    )
    retired = stage.build(program.Retire(signer=user.pubkey(), bond=bond, code=code))
    await stage.aside(retired)
    other = program.Retire(signer=wallet, bond=_bond(stage, b"POSTED02"), code=b"POSTED02")
    await stage.aside(stage.build(other), by=[operator])
    await stage.wait(90)
    await stage.scene(
        "release",
        "a bond goes back to its new beneficiary, by anybody",
        _released(stage, code, user.pubkey(), stage.ata("user")),
        by=[stage.wallet("proposer")],
    )
    elsewhere = await stage.person("cold wallet")
    release = program.release(
        stage.deployment,
        code=b"POSTED02",
        beneficiary=wallet,
        rent_payer=wallet,
        destination=stage.ata(elsewhere.pubkey()),
        signed=True,
    )
    await stage.scene("release-elsewhere", "signed, to another account", release, by=[operator])


def _released(stage: Stage, code: bytes, beneficiary: Pubkey, to: Pubkey) -> Instruction:
    made = program.Release(
        bond=_bond(stage, code),
        beneficiary=beneficiary,
        destination=to,
        rent_payer=stage.key("operator"),
        code=code,
    )
    return stage.build(made)


async def _seizures(stage: Stage) -> None:
    code = b"SEIZED01"
    await _post(stage, code, None)
    bond, operator = _bond(stage, code), stage.key("operator")
    proposer, arbiter = stage.key("proposer"), stage.key("arbiter")
    contest = program.Contest(beneficiary=operator, bond=bond, code=code, reply_hash=bytes(32))

    async def step(name: str, why: str, who: str, made: program.ProgramInstruction) -> None:
        await stage.scene(name, why, stage.build(made), by=[stage.wallet(who)])

    def proposal(number: int) -> program.ProposeSeizure:
        return program.ProposeSeizure(
            proposer=proposer, bond=bond, code=code, evidence_hash=bytes([number]) * 32, reason=7
        )

    await step("propose-seizure", "a seizure is proposed", "proposer", proposal(1))
    withdraw = program.WithdrawProposal(proposer=proposer, bond=bond, code=code)
    await step("withdraw-proposal", "and taken back", "proposer", withdraw)
    await stage.aside(stage.build(proposal(2)), by=[stage.wallet("proposer")])
    await step("contest", "contested", "operator", contest)
    dismiss = program.Dismiss(arbiter=arbiter, bond=bond, code=code)
    await step("dismiss", "found for the operator", "arbiter", dismiss)
    await stage.aside(stage.build(proposal(3)), by=[stage.wallet("proposer")])
    await stage.wait(21)
    await step("lapse", "past its time", "user", program.Lapse(bond=bond, code=code))
    await stage.aside(stage.build(proposal(4)), by=[stage.wallet("proposer")])
    await stage.aside(stage.build(contest), by=[stage.wallet("operator")])
    uphold = program.Uphold(arbiter=arbiter, bond=bond, code=code)
    await step("uphold", "found against the operator", "arbiter", uphold)
    await stage.wait(7)
    execute = program.ExecuteSeizure(bond=bond, rent_payer=operator, code=code)
    await step("execute-seizure", "the bond goes to the till", "user", execute)


async def _swept(stage: Stage) -> None:
    user, vault = stage.key("user"), stage.deployment.bond_vault
    await stage.aside(plain(stage.ata("user"), vault, user, 301))
    sweep = stage.foreign.forward(stage.build(program.SweepSurplus()))
    await stage.scene("sweep-surplus", "what strayed into the bond vault, called", sweep)
    code = b"SWEPT001"
    _bond(stage, code)
    posted = program.post_bond(
        stage.deployment, depositor=user, funder=user, code=code, beneficiary=stage.key("operator")
    )
    await stage.scene(
        "post-and-sweep",
        "a bond posted, money that strays, swept, and a deposit, in one",
        posted,
        plain(stage.ata("user"), vault, user, 302),
        stage.build(program.SweepSurplus()),
        coded(stage, 303),
    )


async def _recovered(stage: Stage) -> None:
    user, admin = stage.wallet("user"), stage.wallet("admin")
    deployment = stage.deployment
    stray = stage.named(
        "config's tokens",
        program.associated_token_address(deployment.config, deployment.mint),
    )
    await stage.aside(
        create_token_account(user.pubkey(), deployment.config, deployment.mint),
        plain(stage.ata("user"), stray, user.pubkey(), 311),
    )
    ours = program.RecoverStray(
        admin=admin.pubkey(),
        authority=deployment.config,
        stray=stray,
        destination=deployment.till_vault,
        stray_mint=deployment.mint,
    )
    await stage.scene("recover-stray", "USDC that went astray", stage.build(ours), by=[admin])
    other = await _foreign_stray(stage)
    await stage.scene("recover-foreign", "of another mint", stage.build(other), by=[admin])


async def _foreign_stray(stage: Stage) -> program.RecoverStray:
    """Tokens of another mint in an account of the till's owner."""
    user, mint, owner = stage.wallet("user"), Keypair(), stage.deployment.till_authority
    stage.named("foreign mint", mint.pubkey())
    rent = await stage.rpc.call("getMinimumBalanceForRentExemption", _MINT_SIZE)
    made = create_account(
        CreateAccountParams(
            from_pubkey=user.pubkey(),
            to_pubkey=mint.pubkey(),
            lamports=rent,
            space=_MINT_SIZE,
            owner=program.TOKEN_PROGRAM,
        )
    )
    started = token(b"\x14\x06" + bytes(user.pubkey()) + b"\0", written(mint.pubkey()))
    stray = stage.named("foreign stray", program.associated_token_address(owner, mint.pubkey()))
    theirs = stage.named(
        "user's foreign tokens", program.associated_token_address(user.pubkey(), mint.pubkey())
    )
    await stage.aside(
        made,
        started,
        create_token_account(user.pubkey(), owner, mint.pubkey()),
        create_token_account(user.pubkey(), user.pubkey(), mint.pubkey()),
        mint_to(mint.pubkey(), stray, user.pubkey(), 321),
        by=[user, mint],
    )
    return program.RecoverStray(
        admin=stage.key("admin"),
        authority=owner,
        stray=stray,
        destination=theirs,
        stray_mint=mint.pubkey(),
    )
