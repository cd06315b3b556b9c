// Where the chain under test is, told by the pytest wrapper, and the bond program's instructions,
// built by hand so that nothing of ours stands between the client and the node.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const named = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this through pytest`);
  return value;
};

export const rpcUrl = named("LOCALNET_RPC_URL");
export const wsUrl = named("LOCALNET_WS_URL");
export const programId = named("LOCALNET_PROGRAM_ID");
export const mint = named("LOCALNET_MINT");

export const keyBytes = (name) =>
  Uint8Array.from(JSON.parse(readFileSync(join(named("LOCALNET_KEYS"), `${name}.json`))));

const discriminator = (name) =>
  createHash("sha256").update(`global:${name}`).digest().subarray(0, 8);

const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

export const instructionData = (name, ...parts) => Buffer.concat([discriminator(name), ...parts]);
export const encodeU64 = u64;

export async function advanceClock(seconds) {
  const response = await fetch(rpcUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "localnet_advanceClock",
      params: [seconds],
    }),
  });
  const answer = await response.json();
  if (answer.error) throw new Error(answer.error.message);
  return answer.result;
}
