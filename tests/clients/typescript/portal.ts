/**
 * A portal that asks, for a birth registration, which items the registers have already, and what is missing.
 *
 * usage: portal.ts https://127.0.0.1:7443 CERTS CASE ROLE=PERSONAL_ID...
 *
 * Made with stock tools from the .proto files that `hub contracts export` writes: types by protoc-gen-es, calls by Connect (JSON over
 * HTTP/2 with a client certificate). The exit code is 0 when every item is there, 1 when something is missing, 2 when the hub refused.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { ItemState, QueryService, type CheckProcedureResponse, type Item } from "./gen/hub/query/v1/query_pb.js";

const PROCEDURE = "1.001193";
const TRIES = 5;

const [baseUrl, certs, caseNumber, ...keys] = process.argv.slice(2);
if (!baseUrl || !certs || !caseNumber || keys.length === 0) {
  console.error("usage: portal.ts URL CERTS CASE ROLE=PERSONAL_ID...");
  process.exit(2);
}

const transport = createConnectTransport({
  baseUrl,
  httpVersion: "2",
  useBinaryFormat: false,
  nodeOptions: {
    ca: readFileSync(join(certs, "ca.pem")),
    cert: readFileSync(join(certs, "portal-national.pem")),
    key: readFileSync(join(certs, "portal-national.key")),
  },
});
const hub = createClient(QueryService, transport);

/** Asks; what may be asked again is. */
async function check(roles: Record<string, string>): Promise<CheckProcedureResponse> {
  const named = Object.entries(roles).map(([role, id]) => [role, { key: { case: "personalId" as const, value: id } }]);
  const request = { purpose: { procedure: PROCEDURE, caseNumber }, roles: Object.fromEntries(named) };
  for (let attempt = 1; ; attempt++) {
    try {
      return await hub.checkProcedure(request, { headers: { "Accept-Language": "en" }, timeoutMs: 10_000 });
    } catch (error) {
      const { code } = ConnectError.from(error);
      if ((code !== Code.Unavailable && code !== Code.ResourceExhausted) || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
    }
  }
}

function told(item: Item): string {
  switch (item.state) {
    case ItemState.AVAILABLE: {
      const value = item.value ? JSON.stringify(toJson(ValueSchema, item.value)) : "yes";
      return `${value} (from ${item.source?.register ?? item.register})`;
    }
    case ItemState.NOT_NEEDED:
      return "not needed";
    case ItemState.MISSING:
    case ItemState.STALE:
    case ItemState.DISPUTED:
    case ItemState.ON_PAPER_ONLY:
    case ItemState.NOT_CONNECTED:
    case ItemState.AMBIGUOUS:
    case ItemState.UNSPECIFIED:
      return `${ItemState[item.state].toLowerCase()}: ${item.whatToDo} (${item.owner})`;
  }
}

const roles = Object.fromEntries(keys.map((key) => key.split("=", 2) as [string, string]));
try {
  const answer = await check(roles);
  console.log(`${answer.procedure} ${answer.title}`);
  for (const item of answer.items) console.log(`${item.role.padEnd(8)} ${item.item.padEnd(20)} ${told(item)}`);
  for (const finding of answer.findings) console.log(`note: ${finding.fieldPath}: ${finding.ruleId} (${finding.register})`);
  console.log(`access ${answer.basis?.accessId} is written down`);
  process.exitCode = answer.complete ? 0 : 1;
} catch (error) {
  const refused = ConnectError.from(error);
  console.error(`portal: ${Code[refused.code]}: ${refused.rawMessage}`);
  process.exitCode = 2;
}
