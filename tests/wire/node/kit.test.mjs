// @solana/kit with its program clients, unmodified.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  address,
  airdropFactory,
  appendTransactionMessageInstructions,
  assertIsTransactionWithBlockhashLifetime,
  createKeyPairSignerFromBytes,
  createSolanaRpc,
  createSolanaRpcSubscriptions,
  createTransactionMessage,
  generateKeyPairSigner,
  getSignatureFromTransaction,
  isSolanaError,
  lamports,
  pipe,
  sendAndConfirmTransactionFactory,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from "@solana/kit";
import { getTransferSolInstruction } from "@solana-program/system";
import {
  TOKEN_PROGRAM_ADDRESS,
  fetchToken,
  findAssociatedTokenPda,
  getCreateAssociatedTokenIdempotentInstruction,
  getTransferCheckedInstruction,
} from "@solana-program/token";

import { keyBytes, mint as mintAddress, rpcUrl, wsUrl } from "./chain.mjs";

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(wsUrl);
const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const mint = address(mintAddress);

async function run(payer, instructions, version = 0) {
  const { value: latest } = await rpc.getLatestBlockhash().send();
  const message = pipe(
    createTransactionMessage({ version }),
    (it) => setTransactionMessageFeePayerSigner(payer, it),
    (it) => setTransactionMessageLifetimeUsingBlockhash(latest, it),
    (it) => appendTransactionMessageInstructions(instructions, it),
  );
  const transaction = await signTransactionMessageWithSigners(message);
  assertIsTransactionWithBlockhashLifetime(transaction);
  await sendAndConfirm(transaction, { commitment: "confirmed" });
  return getSignatureFromTransaction(transaction);
}

test("an airdrop arrives", async () => {
  const someone = await generateKeyPairSigner();
  const airdrop = airdropFactory({ rpc, rpcSubscriptions });
  await airdrop({
    commitment: "confirmed",
    lamports: lamports(1_000_000_000n),
    recipientAddress: someone.address,
  });
  const { value } = await rpc.getBalance(someone.address, { commitment: "confirmed" }).send();
  assert.equal(value, 1_000_000_000n);
});

test("USDC moves between wallets and the transaction tells it", async () => {
  const user = await createKeyPairSignerFromBytes(keyBytes("user"));
  const other = await generateKeyPairSigner();
  const accountOf = async (owner) =>
    (await findAssociatedTokenPda({ owner, mint, tokenProgram: TOKEN_PROGRAM_ADDRESS }))[0];
  const source = await accountOf(user.address);
  const destination = await accountOf(other.address);
  const signature = await run(user, [
    getCreateAssociatedTokenIdempotentInstruction({
      payer: user,
      ata: destination,
      owner: other.address,
      mint,
    }),
    getTransferCheckedInstruction({
      source,
      mint,
      destination,
      authority: user,
      amount: 12_500_000n,
      decimals: 6,
    }),
  ]);
  const token = await fetchToken(rpc, destination, { commitment: "confirmed" });
  assert.equal(token.data.amount, 12_500_000n);
  const landed = await rpc
    .getTransaction(signature, {
      commitment: "confirmed",
      encoding: "json",
      maxSupportedTransactionVersion: 0,
    })
    .send();
  assert.equal(landed.meta.err, null);
  assert.equal(landed.version, 0);
  const after = landed.meta.postTokenBalances.map((one) => one.uiTokenAmount.amount);
  assert.ok(after.includes("12500000"));
  const history = await rpc
    .getSignaturesForAddress(destination, { commitment: "confirmed" })
    .send();
  assert.equal(history[0].signature, signature);
  const { value: owned } = await rpc
    .getTokenAccountsByOwner(
      other.address,
      { mint },
      { encoding: "jsonParsed", commitment: "confirmed" },
    )
    .send();
  assert.equal(owned[0].account.data.parsed.info.tokenAmount.uiAmountString, "12.5");
});

test("account and slot subscriptions", async () => {
  const user = await createKeyPairSignerFromBytes(keyBytes("user"));
  const other = await generateKeyPairSigner();
  const abort = new AbortController();
  const options = { abortSignal: abort.signal };
  const accounts = await rpcSubscriptions
    .accountNotifications(other.address, { commitment: "confirmed", encoding: "base64" })
    .subscribe(options);
  const slots = await rpcSubscriptions.slotNotifications().subscribe(options);
  // An iterator keeps what arrives from the first `next` on.
  const change = accounts[Symbol.asyncIterator]().next();
  const step = slots[Symbol.asyncIterator]().next();
  await run(user, [
    getTransferSolInstruction({
      source: user,
      destination: other.address,
      amount: lamports(1_000_000_000n),
    }),
  ]);
  assert.equal((await change).value.value.lamports, 1_000_000_000n);
  const { parent, slot, root } = (await step).value;
  assert.ok(root < parent && parent < slot);
  abort.abort();
});

test("a program's refusal is a typed error", async () => {
  const user = await createKeyPairSignerFromBytes(keyBytes("user"));
  const other = await generateKeyPairSigner();
  const overdraft = getTransferSolInstruction({
    source: user,
    destination: other.address,
    amount: lamports(10n ** 18n),
  });
  await assert.rejects(run(user, [overdraft]), (error) => {
    assert.ok(isSolanaError(error));
    assert.equal(error.context.__code, -32002);
    return true;
  });
});

test("a version 1 transaction lands and needs a version ceiling of 1", async () => {
  const user = await createKeyPairSignerFromBytes(keyBytes("user"));
  const other = await generateKeyPairSigner();
  const transfer = getTransferSolInstruction({
    source: user,
    destination: other.address,
    amount: lamports(1_000_000_000n),
  });
  const signature = await run(user, [transfer], 1);
  const read = (maxSupportedTransactionVersion) =>
    rpc
      .getTransaction(signature, {
        commitment: "confirmed",
        encoding: "json",
        maxSupportedTransactionVersion,
      })
      .send();
  assert.equal((await read(1)).version, 1);
  await assert.rejects(read(0), (error) => error.context.__code === -32015);
});
