// A phone: the Solana Pay SDK as wallets use it, unmodified, and a reader of QR codes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";

import { FetchTransactionError, fetchTransaction, findReference, parseURL } from "@solana/pay";
import { Connection, Keypair, PublicKey } from "@solana/web3.js";
import jsQR from "jsqr";

const named = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this through pytest`);
  return value;
};

const coordinator = named("POD_COORDINATOR_URL"); // where it really listens
const publicUrl = named("POD_PUBLIC_URL"); // what its links say: https
const depositCode = named("POD_DEPOSIT_CODE");
const bondCode = named("POD_BOND_CODE");
const bondVault = new PublicKey(named("POD_BOND_VAULT"));
const tillVault = new PublicKey(named("POD_TILL_VAULT"));
const phone = Keypair.fromSecretKey(
  Uint8Array.from(JSON.parse(readFileSync(named("POD_WALLET_FILE"), "utf8"))),
);
const connection = new Connection(named("LOCALNET_RPC_URL"), {
  commitment: "confirmed",
  wsEndpoint: named("LOCALNET_WS_URL"),
});

after(() => connection._rpcWebSocket.close());

// The test's own way to the coordinator: what stands for TLS in front of it.
const reached = (link) => new URL(String(link).replace(publicUrl, coordinator));

// An SVG of a QR code is rows of horizontal strokes, one unit high.
function drawn(svg, scale = 4) {
  const [, side] = /viewBox="0 0 (\d+) \d+"/.exec(svg);
  const [, strokes] = /<path stroke="#000" d="([^"]*)"/.exec(svg);
  const width = Number(side) * scale;
  const pixels = new Uint8ClampedArray(width * width * 4).fill(255);
  let [x, y] = [0, 0];
  for (const [, command, numbers] of strokes.matchAll(/([Mmh])([^Mmh]*)/g)) {
    const [dx, dy = 0] = numbers.trim().split(/[ ,]+/).map(Number);
    if (command === "M") [x, y] = [dx, dy];
    if (command === "m") [x, y] = [x + dx, y + dy];
    if (command !== "h") continue;
    for (let row = Math.floor(y) * scale; row < (Math.floor(y) + 1) * scale; row++)
      for (let column = x * scale; column < (x + dx) * scale; column++)
        pixels.fill(0, (row * width + column) * 4, (row * width + column) * 4 + 3);
    x += dx;
  }
  return [pixels, width, width];
}

async function scanned(path, query) {
  const response = await fetch(`${coordinator}/v1/pay/${path}/qr.svg?${new URLSearchParams(query)}`);
  assert.equal(response.status, 200);
  return jsQR(...drawn(await response.text())).data;
}

async function approve(transaction) {
  assert.deepEqual(
    transaction.signatures.map((each) => each.publicKey.toBase58()),
    [phone.publicKey.toBase58()],
  );
  assert.ok(transaction.feePayer.equals(phone.publicKey));
  transaction.sign(phone);
  const signature = await connection.sendRawTransaction(transaction.serialize());
  const latest = await connection.getLatestBlockhash();
  const { value } = await connection.confirmTransaction({ signature, ...latest });
  assert.equal(value.err, null);
  return signature;
}

const units = async (vault) =>
  Number((await connection.getTokenAccountBalance(vault)).value.amount);

test("a deposit: scanned, asked, shown, signed, found by its reference", async () => {
  const reference = Keypair.generate().publicKey;
  const query = { code: depositCode, amount: "25.5", reference: reference.toBase58() };
  const { link } = parseURL(await scanned("deposit", query));
  assert.equal(link.protocol, "https:");
  assert.ok(String(link).startsWith(`${publicUrl}/v1/pay/deposit?`));

  const shown = await (await fetch(reached(link))).json();
  assert.deepEqual(Object.keys(shown).sort(), ["icon", "label"]);
  const icon = await fetch(reached(shown.icon));
  assert.equal(icon.headers.get("content-type"), "image/png");

  const before = await units(tillVault);
  const transaction = await fetchTransaction(connection, phone.publicKey, reached(link));
  const signature = await approve(transaction);
  assert.equal(await units(tillVault), before + 25_500_000);
  const found = await findReference(connection, reference, { finality: "confirmed" });
  assert.equal(found.signature, signature);
});

test("a bond: scanned, posted, retired", async () => {
  const posting = parseURL(await scanned("bond", { code: bondCode })).link;
  await approve(await fetchTransaction(connection, phone.publicKey, reached(posting)));
  assert.equal(await units(bondVault), 50_000_000);
  const retiring = parseURL(await scanned("bond/retire", { code: bondCode })).link;
  await approve(await fetchTransaction(connection, phone.publicKey, reached(retiring)));
});

test("a refusal is no transaction", async () => {
  const nobody = Keypair.generate().publicKey;
  const { link } = parseURL(await scanned("deposit", { code: depositCode, amount: "1" }));
  await assert.rejects(fetchTransaction(connection, nobody, reached(link)), FetchTransactionError);
});
