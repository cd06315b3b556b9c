// @solana/web3.js 1.x with @solana/spl-token, unmodified.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import {
  createMint,
  createTransferCheckedInstruction,
  getAccount,
  getAssociatedTokenAddressSync,
  getMint,
  getOrCreateAssociatedTokenAccount,
  mintTo,
  transfer,
} from "@solana/spl-token";
import {
  AddressLookupTableProgram,
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  SendTransactionError,
  SystemProgram,
  Transaction,
  TransactionInstruction,
  TransactionMessage,
  VersionedTransaction,
  sendAndConfirmTransaction,
} from "@solana/web3.js";

import {
  advanceClock,
  encodeU64,
  instructionData,
  keyBytes,
  mint as mintAddress,
  programId as programAddress,
  rpcUrl,
  wsUrl,
} from "./chain.mjs";

const connection = new Connection(rpcUrl, { commitment: "confirmed", wsEndpoint: wsUrl });
const program = new PublicKey(programAddress);
const usdc = new PublicKey(mintAddress);
const wallet = (name) => Keypair.fromSecretKey(keyBytes(name));
const TOKEN = new PublicKey("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const ATA = new PublicKey("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
const LOADER = new PublicKey("BPFLoaderUpgradeab1e11111111111111111111111");

after(() => connection._rpcWebSocket.close());

const derived = (...seeds) => PublicKey.findProgramAddressSync(seeds, program)[0];
const ataOf = (owner) => getAssociatedTokenAddressSync(usdc, owner, true);
const at = {
  config: derived(Buffer.from("config")),
  escrow: derived(Buffer.from("escrow")),
  payouts: derived(Buffer.from("payouts")),
  till: derived(Buffer.from("till")),
};
const meta = (pubkey, flags = "") => ({
  pubkey,
  isSigner: flags.includes("s"),
  isWritable: flags.includes("w"),
});
const call = (name, parts, keys) =>
  new TransactionInstruction({ programId: program, keys, data: instructionData(name, ...parts) });
const run = (instruction, ...signers) =>
  sendAndConfirmTransaction(connection, new Transaction().add(instruction), signers);

async function initialized() {
  if (await connection.getAccountInfo(at.config)) return;
  const authority = wallet("upgrade-authority");
  const roles = ["admin", "proposer", "arbiter", "guardian", "payer"].map((name) =>
    wallet(name).publicKey.toBuffer(),
  );
  const noCap = 2n ** 64n - 1n;
  const numbers = [50_000_000, 7_776_000, 604_800, 1_209_600, 1_209_600, noCap, noCap];
  const programData = PublicKey.findProgramAddressSync([program.toBuffer()], LOADER)[0];
  await run(
    call("initialize", [...roles, ...numbers.map(encodeU64)], [
      meta(authority.publicKey, "s"),
      meta(authority.publicKey, "sw"),
      meta(programData),
      meta(at.config, "w"),
      meta(at.escrow, "w"),
      meta(at.payouts, "w"),
      meta(at.till),
      meta(ataOf(at.till), "w"),
      meta(ataOf(at.escrow), "w"),
      meta(usdc),
      meta(TOKEN),
      meta(ATA),
      meta(SystemProgram.programId),
    ]),
    authority,
  );
}

test("an airdrop is confirmed and in the history", async () => {
  const someone = Keypair.generate();
  const signature = await connection.requestAirdrop(someone.publicKey, LAMPORTS_PER_SOL);
  const latest = await connection.getLatestBlockhash();
  const confirmed = await connection.confirmTransaction({ signature, ...latest }, "finalized");
  assert.equal(confirmed.value.err, null);
  assert.equal(await connection.getBalance(someone.publicKey, "finalized"), LAMPORTS_PER_SOL);
  const history = await connection.getSignaturesForAddress(someone.publicKey);
  assert.deepEqual(history.map((one) => one.signature), [signature]);
  const parsed = await connection.getParsedTransaction(signature, {
    maxSupportedTransactionVersion: 0,
  });
  assert.equal(parsed.meta.err, null);
});

test("a mint of one's own: mint, transfer, read back", async () => {
  const payer = Keypair.generate();
  const signature = await connection.requestAirdrop(payer.publicKey, 10 * LAMPORTS_PER_SOL);
  await connection.confirmTransaction(
    { signature, ...(await connection.getLatestBlockhash()) },
    "confirmed",
  );
  const mint = await createMint(connection, payer, payer.publicKey, null, 2);
  const mine = await getOrCreateAssociatedTokenAccount(connection, payer, mint, payer.publicKey);
  await mintTo(connection, payer, mint, mine.address, payer, 1_000n);
  const other = Keypair.generate().publicKey;
  const theirs = await getOrCreateAssociatedTokenAccount(connection, payer, mint, other);
  const moved = await transfer(connection, payer, mine.address, theirs.address, payer, 250n);
  assert.equal((await getAccount(connection, theirs.address)).amount, 250n);
  assert.equal((await getMint(connection, mint)).supply, 1_000n);
  const balance = await connection.getTokenAccountBalance(mine.address);
  assert.equal(balance.value.uiAmountString, "7.5");
  const owned = await connection.getParsedTokenAccountsByOwner(other, { mint });
  assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.amount, "250");
  const transaction = await connection.getTransaction(moved, { maxSupportedTransactionVersion: 0 });
  assert.equal(transaction.meta.postTokenBalances.length, 2);
  assert.equal(transaction.meta.preTokenBalances.length, 2);
});

test("a versioned transaction loads addresses from a lookup table", async () => {
  const user = wallet("user");
  const slot = await connection.getSlot("finalized");
  const [create, table] = AddressLookupTableProgram.createLookupTable({
    authority: user.publicKey,
    payer: user.publicKey,
    recentSlot: slot,
  });
  const receiver = Keypair.generate().publicKey;
  const extend = AddressLookupTableProgram.extendLookupTable({
    payer: user.publicKey,
    authority: user.publicKey,
    lookupTable: table,
    addresses: [receiver, SystemProgram.programId],
  });
  await sendAndConfirmTransaction(connection, new Transaction().add(create, extend), [user]);
  const { value: known } = await connection.getAddressLookupTable(table);
  // As on any cluster, new entries can be used from the slot after the one that added them.
  const added = known.state.lastExtendedSlot;
  await new Promise((resolve) => {
    const id = connection.onRootChange((root) => {
      if (root <= added) return;
      connection.removeRootChangeListener(id).then(resolve);
    });
  });
  assert.equal(known.state.addresses.length, 2);
  const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash();
  const message = new TransactionMessage({
    payerKey: user.publicKey,
    recentBlockhash: blockhash,
    instructions: [
      SystemProgram.transfer({
        fromPubkey: user.publicKey,
        toPubkey: receiver,
        lamports: LAMPORTS_PER_SOL,
      }),
    ],
  }).compileToV0Message([known]);
  assert.equal(message.addressTableLookups.length, 1);
  const transaction = new VersionedTransaction(message);
  transaction.sign([user]);
  const signature = await connection.sendTransaction(transaction);
  await connection.confirmTransaction({ signature, blockhash, lastValidBlockHeight });
  assert.equal(await connection.getBalance(receiver), LAMPORTS_PER_SOL);
  const landed = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
  assert.equal(landed.version, 0);
  assert.deepEqual(landed.meta.loadedAddresses.writable.map(String), [String(receiver)]);
  await assert.rejects(connection.getTransaction(signature), /maxSupportedTransactionVersion/);
});

test("subscriptions tell of an account, its logs and slots", async () => {
  const someone = Keypair.generate().publicKey;
  const told = {};
  const seen = (name) => new Promise((resolve) => (told[name] = resolve));
  const account = seen("account");
  const logs = seen("logs");
  const slot = seen("slot");
  const ids = [
    connection.onAccountChange(someone, (info) => told.account(info), { commitment: "confirmed" }),
    connection.onLogs(someone, (one) => told.logs(one), "confirmed"),
  ];
  const slotId = connection.onSlotChange((one) => told.slot(one));
  await slot; // the socket is open and subscribed
  const signature = await connection.requestAirdrop(someone, LAMPORTS_PER_SOL);
  assert.equal((await account).lamports, LAMPORTS_PER_SOL);
  assert.equal((await logs).signature, signature);
  await connection.removeAccountChangeListener(ids[0]);
  await connection.removeOnLogsListener(ids[1]);
  await connection.removeSlotChangeListener(slotId);
});

test("a deposit and a bond's life", async () => {
  await initialized();
  const user = wallet("user");
  const code = Buffer.from("abcd1234");
  const deposit = call("deposit_usdc", [code, encodeU64(25_000_000)], [
    meta(ataOf(user.publicKey), "w"),
    meta(ataOf(at.till), "w"),
    meta(at.config),
    meta(user.publicKey, "sw"),
    meta(usdc),
    meta(TOKEN),
    meta(ATA),
  ]);
  const signature = await run(deposit, user);
  const landed = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
  const inner = landed.meta.innerInstructions[0].instructions;
  assert.equal(inner.length, 1);
  assert.equal((await getAccount(connection, ataOf(at.till))).amount, 25_000_000n);

  const operator = wallet("operator");
  const bondCode = Buffer.from("NodeBond");
  const bond = derived(Buffer.from("bond"), bondCode, operator.publicKey.toBuffer());
  const before = (await getAccount(connection, ataOf(operator.publicKey))).amount;
  await run(
    call("post_bond", [bondCode, operator.publicKey.toBuffer()], [
      meta(operator.publicKey, "s"),
      meta(operator.publicKey, "sw"),
      meta(ataOf(operator.publicKey), "w"),
      meta(ataOf(at.escrow), "w"),
      meta(bond, "w"),
      meta(at.escrow, "w"),
      meta(at.config),
      meta(usdc),
      meta(TOKEN),
      meta(SystemProgram.programId),
    ]),
    operator,
  );
  assert.equal((await getAccount(connection, ataOf(at.escrow))).amount, 50_000_000n);
  await run(
    call("retire", [bondCode], [
      meta(operator.publicKey, "s"),
      meta(bond, "w"),
      meta(at.config),
    ]),
    operator,
  );
  const release = call("release", [bondCode], [
    meta(bond, "w"),
    meta(operator.publicKey),
    meta(ataOf(operator.publicKey), "w"),
    meta(operator.publicKey, "w"),
    meta(ataOf(at.escrow), "w"),
    meta(at.escrow, "w"),
    meta(at.config),
    meta(usdc),
    meta(TOKEN),
  ]);
  await assert.rejects(run(release, user), (error) => {
    assert.ok(error instanceof SendTransactionError);
    assert.match(error.message, /custom program error: 0x1783/); // 6019, CooldownNotOver
    return true;
  });
  await advanceClock(90 * 86_400 + 1);
  await run(release, user);
  assert.equal((await getAccount(connection, ataOf(operator.publicKey))).amount, before);
});

test("an expired blockhash and an overdraft are refused as a node refuses them", async () => {
  const user = wallet("user");
  const transaction = new Transaction({
    feePayer: user.publicKey,
    blockhash: Keypair.generate().publicKey.toBase58(),
    lastValidBlockHeight: 1,
  }).add(
    SystemProgram.transfer({ fromPubkey: user.publicKey, toPubkey: user.publicKey, lamports: 1 }),
  );
  transaction.sign(user);
  await assert.rejects(
    connection.sendRawTransaction(transaction.serialize()),
    /Blockhash not found/,
  );
  const tooMuch = createTransferCheckedInstruction(
    ataOf(user.publicKey),
    usdc,
    ataOf(wallet("operator").publicKey),
    user.publicKey,
    10n ** 18n,
    6,
  );
  await assert.rejects(run(tooMuch, user), /custom program error: 0x1/);
});
