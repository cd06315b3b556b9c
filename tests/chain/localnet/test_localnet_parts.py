"""The parts of the embedded chain alone: arithmetic of slots, versions, the journal, settings."""

import asyncio
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from localnet.accounts import AccountVersions
from localnet.encode import zstd_stored
from localnet.engine import Engine, load_all
from localnet.journal import PREFIX_BYTES, Journal, JournalDamaged
from localnet.records import Anchor
from localnet.seed import differences, genesis, load_or_create_keys
from localnet.settings import Settings, SettingsError, load_settings, parse_settings
from localnet.timeline import Blockhashes, Timeline
from localnet.tokens import ui_amount
from localnet.transaction_errors import describe

GENESIS = bytes(32)


def timeline(skipped_every: int) -> Timeline:
    line = Timeline(GENESIS, skipped_every)
    line.add(Anchor(slot=0, time_ms=1_000_000, slot_ms=200, offset_ms=0))
    return line


@given(every=st.sampled_from([0, 2, 3, 64]), slot=st.integers(1, 10_000))
def test_heights_count_the_blocks(every: int, slot: int) -> None:
    line = timeline(every)
    blocks = [one for one in range(slot + 1) if line.has_block(one)]
    newest = line.at_or_before(slot)
    assert newest == blocks[-1]
    assert line.height(newest) == len(blocks) - 1
    assert line.next(newest) > slot or line.next(newest) == slot + 1
    if len(blocks) > 1:
        assert line.parent(newest) == blocks[-2]
        assert line.next(line.parent(newest)) == newest


def test_time_goes_on_from_the_last_anchor() -> None:
    line = timeline(0)
    line.add(Anchor(slot=10, time_ms=5_000_000, slot_ms=20, offset_ms=7))
    assert line.time_ms(0) == 1_000_000
    assert line.time_ms(9) == 1_001_800
    assert line.time_ms(10) == 5_000_000
    assert line.time_ms(12) == 5_000_040
    assert line.time_seconds(12) == 5_000


def test_a_hash_is_good_for_150_blocks_and_not_before_its_own() -> None:
    line = timeline(64)
    hashes = Blockhashes(line, line.at_or_before(600))
    blocks = [slot for slot in range(601) if line.has_block(slot)]
    newest = blocks[-1]
    assert hashes.is_valid(line.blockhash(newest), newest)
    assert hashes.is_valid(line.blockhash(blocks[-151]), newest)
    assert not hashes.is_valid(line.blockhash(blocks[-152]), newest)
    assert not hashes.is_valid(line.blockhash(newest), blocks[-2])
    assert not hashes.is_valid(bytes(32), newest)
    assert len(hashes.newest_first(newest)) == 151


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "finalize"]), st.integers(0, 3), st.integers(0, 3)),
    max_size=40,
)


@given(OPERATIONS)
def test_every_bank_reads_its_own_state(operations: list[tuple[str, int, int]]) -> None:
    """Against a model that keeps the whole state of every slot."""
    addresses = [Pubkey.from_bytes(bytes([i + 1]) * 32) for i in range(4)]
    built_in = Account(99, b"", Pubkey.default())
    untouched = {addresses[3]: built_in}
    versions = AccountVersions(untouched.get)
    slot, finalized, lamports = 1, 0, 0
    states: dict[int, dict[Pubkey, Account | None]] = {0: dict(untouched)}
    for name, which, steps in operations:
        states.setdefault(slot, dict(states[max(states)]))
        if name == "finalize":
            finalized = max(finalized, slot - 2)
            versions.finalize(finalized)
            for one in range(slot, slot + steps + 1):
                states[one] = dict(states[slot])
            slot += steps
            continue
        lamports += 1
        account = Account(lamports, b"", Pubkey.default()) if name == "put" else None
        if addresses[which] == addresses[3]:
            continue  # the engine's own accounts are read through
        versions.put(slot, addresses[which], account)
        states[slot][addresses[which]] = account
    for bank in range(finalized, slot + 1):
        state = states.get(bank, states[max(one for one in states if one <= bank)])
        for address in addresses:
            assert versions.at(address, bank) == state.get(address), (bank, address)


async def test_a_journal_gives_back_what_was_appended(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert list(journal.records()) == []
    offsets = [journal.append(bytes([i]) * i) for i in range(5)]
    await asyncio.gather(journal.sync(), journal.sync())
    assert [journal.read(offset) for offset in offsets] == [bytes([i]) * i for i in range(5)]
    journal.close()
    again = Journal(tmp_path / "journal")
    assert [payload for _, payload in again.records()] == [bytes([i]) * i for i in range(5)]
    again.close()


def test_any_cut_leaves_the_records_before_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    ends = [journal.append(payload) for payload in (b"one", b"two", b"three")]
    ends.append(journal.end)
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        journal = Journal(path)
        kept = [payload for _, payload in journal.records()]
        assert len(kept) == sum(1 for end in ends[1:] if end <= cut)
        journal.append(b"more")
        assert [payload for _, payload in journal.records()] == [*kept, b"more"]
        journal.close()


def test_any_flipped_bit_before_the_last_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    for payload in (b"one", b"two", b"three"):
        journal.append(payload)
    journal.close()
    whole = path.read_bytes()
    last = len(whole) - PREFIX_BYTES - len(b"three")
    for index in range(last):
        broken = bytearray(whole)
        broken[index] ^= 0x10
        path.write_bytes(broken)
        journal = Journal(path)
        with pytest.raises(JournalDamaged, match="damaged record at byte"):
            list(journal.records())
        journal.close()
    broken = bytearray(whole)
    broken[-1] ^= 0x10  # a last record whose bytes did not all reach the disk
    path.write_bytes(broken)
    journal = Journal(path)
    assert [payload for _, payload in journal.records()] == [b"one", b"two"]
    journal.close()
    path.write_bytes(whole + bytes(100))  # what a crash of the machine may leave
    journal = Journal(path)
    assert len(list(journal.records())) == 3
    assert path.read_bytes() == whole
    journal.close()


async def test_a_journal_that_failed_takes_nothing_more(tmp_path: Path) -> None:
    """After a write that failed half-way, the next one would stand behind a broken record."""
    journal = Journal(tmp_path / "journal")
    journal.append(b"one")
    os.close(journal._fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(b"two")
    journal._fd = os.open(tmp_path / "journal", os.O_RDWR | os.O_APPEND)
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(b"three")
    assert len(list(journal.records())) == 1
    journal.close()


@pytest.mark.parametrize(
    ("amount", "decimals", "text", "number"),
    [
        (0, 6, "0", 0.0),
        (1, 6, "0.000001", 0.000001),
        (1_500_000, 6, "1.5", 1.5),
        (7, 0, "7", 7.0),
        (2**64 - 1, 6, "18446744073709.551615", 18446744073709.55),
    ],
)
def test_amounts_are_written_as_a_node_does(
    amount: int, decimals: int, text: str, number: float
) -> None:
    shown = ui_amount(amount, decimals)
    assert shown == {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": number,
        "uiAmountString": text,
    }
    assert ui_amount(0, 6, zero_as_null=True)["uiAmount"] is None


def test_stored_zstd_frames_say_their_size() -> None:
    frame = zstd_stored(b"x" * 200_000)
    assert frame[:5] == bytes.fromhex("28b52ffda0")
    assert int.from_bytes(frame[5:9], "little") == 200_000
    assert len(frame) == 9 + 2 * 3 + 200_000


@pytest.mark.parametrize(
    ("err", "text"),
    [
        ("BlockhashNotFound", "Blockhash not found"),
        ("WouldExceedMaxBlockCostLimit", "Would exceed max block cost limit"),
        (
            {"InstructionError": [2, {"Custom": 6016}]},
            "Error processing Instruction 2: custom program error: 0x1780",
        ),
        (
            {"InstructionError": [0, "MissingRequiredSignature"]},
            "Error processing Instruction 0: missing required signature for instruction",
        ),
        (
            {"InsufficientFundsForRent": {"account_index": 1}},
            "Transaction results in an account (1) with insufficient funds for rent",
        ),
    ],
)
def test_errors_are_told_in_words(err: object, text: str) -> None:
    assert describe(err) == text


def parse(text: str) -> Settings:
    return parse_settings(tomllib.loads(text), Path("/somewhere"))


NAMED = '[[wallets]]\nname = "mint-authority"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[chains]\n", "chains: unknown key"),
        ("chain = 5\n", "chain: expected a table"),
        ('[chain]\nkind = "mainnet"\n', "chain.kind: expected one of embedded"),
        ('[chain]\nkind = "rpc"\n', "chain.rpc_url: missing"),
        ("[chain]\nrpc_url = 5\n", "chain.rpc_url: expected a non-empty string"),
        ("[embedded]\nslot_time_ms = 1\n", "embedded.slot_time_ms: expected a whole number"),
        ("[embedded]\nslot_time_ms = 2.5\n", "embedded.slot_time_ms: expected a whole number"),
        ("[embedded]\nslot_time_ms = true\n", "embedded.slot_time_ms: expected a whole number"),
        ("[embedded]\nconfirmed_lag_slots = 9\n", "embedded.finalized_lag_slots: must not be"),
        ("[embedded]\nconfirmed_lag_slots = 1\n", "embedded.confirmed_lag_slots: expected"),
        ("[embedded]\nskipped_slot_every = 1\n", "embedded.skipped_slot_every: 1 would skip"),
        ("[embedded]\nrpc_port = 65535\n", "embedded.rpc_port: expected a whole number"),
        ('[program]\npath = "x"\n', "program.id: missing"),
        ('[program]\nid = "x"\npath = "x"\n', "program.id: 'x' is not an address"),
        ('[mint]\naddress = "x"\n', "mint.address: 'x' is not an address"),
        ("[mint]\ndecimals = -1\n", "mint.decimals: expected a whole number"),
        ("wallets = 5\n", "wallets: expected [[wallets]] tables"),
        ("[[wallets]]\nsol = 1\n", "wallets[0].name: give a wallet either"),
        ('[[wallets]]\nname = "../x"\n', "wallets[0].name: '../x'"),
        ('[[wallets]]\nname = "user"\nsol = 1.5\n', "wallets[0].sol: expected a whole number"),
        ('[[wallets]]\nname = "user"\nsol = "x"\n', "wallets[0].sol: 'x' is not an amount"),
        ('[[wallets]]\nname = "user"\nusdc = "0.0000001"\n', "wallets[0].usdc: '0.0000001'"),
        ('[[wallets]]\nname = "user"\nusdc = "nan"\n', "wallets[0].usdc: 'nan'"),
        ('[[wallets]]\nname = "user"\nusdc = "1e999999"\n', "wallets[0].usdc: '1e999999'"),
        ('[[wallets]]\nname = "user"\nusdc = -1\n', "wallets[0].usdc: -1 is not an amount"),
        ('[[wallets]]\nname = "user"\nusd = 1\n', "wallets[0].usd: unknown key"),
        (NAMED + NAMED, "wallets: the name 'mint-authority' is taken"),
        (NAMED + '[[wallets]]\nname = "faucet"\n', "wallets: the name 'faucet' is taken"),
        ('[[wallets]]\nname = "user"\n', "mint.authority: no wallet is named"),
        (
            NAMED + f'[program]\nid = "{"1" * 32}"\npath = "x"\n',
            "program.upgrade_authority: no wallet is named",
        ),
        (
            NAMED + '[[wallets]]\nname = "user"\nusdc = 9_000_000_000_000\n'
            '[[wallets]]\nname = "rich"\nusdc = 9_000_000_000_000\n'
            '[[wallets]]\nname = "richer"\nusdc = 9_000_000_000_000\n',
            "wallets: together they hold more",
        ),
        ("[provider]\nmax_concurrent = 0\n", "provider.max_concurrent: expected"),
        ("[[provider.models]]\n", "provider.models[0].model_id: missing"),
    ],
)
def test_wrong_settings_are_named(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(text)
    assert words in str(refused.value)


def test_amounts_in_settings_are_exact() -> None:
    settings = parse(NAMED + 'sol = "0.000000001"\nusdc = "1234.567890"\n')
    assert settings.wallets[0].lamports == 1
    assert settings.wallets[0].token_units == 1_234_567_890


def test_the_file_in_the_repository_is_good() -> None:
    settings = load_settings(Path("localnet.toml"))
    assert settings.chain.kind == "embedded"
    assert settings.provider.models


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("=")
    with pytest.raises(SettingsError, match=r"bad\.toml"):
        load_settings(tmp_path / "bad.toml")


def test_keys_are_private_and_kept(tmp_path: Path) -> None:
    settings = parse(NAMED)
    first = load_or_create_keys(tmp_path / "keys", settings)
    path = tmp_path / "keys" / "mint-authority.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_keys(tmp_path / "keys", settings).wallets == first.wallets
    broken: list[Any] = ["", "{}", "[1, 2]", "[" + ",".join(["300"] * 64) + "]", "5"]
    for text in broken:
        path.write_text(text)
        with pytest.raises(SettingsError, match="not a Solana key file"):
            load_or_create_keys(tmp_path / "keys", settings)


def test_a_chain_started_with_other_settings_is_noticed(tmp_path: Path) -> None:
    """The program file was built anew, say, and the chain still runs the old code."""
    code = Engine().account(Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"))
    assert code is not None
    path = tmp_path / "program.so"
    path.write_bytes(bytes(code.data))
    text = NAMED + '[[wallets]]\nname = "upgrade-authority"\n'
    text += f'[program]\nid = "{Keypair().pubkey()}"\npath = "{path}"\n'
    settings = parse(text)
    keys = load_or_create_keys(tmp_path / "keys", settings)
    started = load_all(genesis(settings, keys).accounts)
    assert differences(settings, started.get) == []
    path.write_bytes(b"another")
    assert "program.path" in differences(settings, started.get)[0]
    told = differences(settings, lambda _address: None)
    assert [one.split(":")[0] for one in told] == ["mint.address", "program.id"]
    path.unlink()
    with pytest.raises(SettingsError, match=r"program\.path"):
        genesis(settings, keys)
