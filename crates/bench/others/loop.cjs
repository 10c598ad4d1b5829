// A closed loop, as slamon-bench has it: each connection begins its next batch when its last one has ended.
"use strict";

const { fork } = require("node:child_process");
const { parseArgs } = require("node:util");

const { values } = parseArgs({
  options: {
    uri: { type: "string" },
    seconds: { type: "string" },
    "warm-up": { type: "string" },
    connections: { type: "string" },
    size: { type: "string" },
    worker: { type: "boolean", default: false },
  },
});

const options = {
  uri: values.uri,
  seconds: Number(values.seconds),
  warmUp: Number(values["warm-up"]),
  connections: Number(values.connections),
  size: Number(values.size),
  isWorker: values.worker,
};

// The place in a sorted list that this share does not exceed.
function quantile(sorted, share) {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

// Has each connection do batches until the end, and prints what slamon-bench reads. `batch` lives the lives of one.
async function measure(batch) {
  const began = performance.now();
  const from = began + options.warmUp * 1000;
  const until = from + options.seconds * 1000;
  const took = [];
  async function connection(number) {
    for (let start = performance.now(); start < until; start = performance.now()) {
      await batch(number);
      if (start >= from) took.push((performance.now() - start) * 1000);
    }
  }
  await Promise.all(Array.from({ length: options.connections }, (_, number) => connection(number)));
  const seconds = (performance.now() - from) / 1000;
  took.sort((one, other) => one - other);
  const latency_us = {
    p50: quantile(took, 0.5),
    p90: quantile(took, 0.9),
    p99: quantile(took, 0.99),
    p999: quantile(took, 0.999),
    max: took.at(-1) ?? 0,
  };
  const lives_per_second = (took.length * options.size) / seconds;
  process.stdout.write(JSON.stringify({ lives_per_second, latency_us }) + "\n");
}

// Starts a program again as the process that works, and waits until that is ready.
async function startWorker(program) {
  const worker = fork(program, [...process.argv.slice(2), "--worker"]);
  worker.on("exit", (code) => {
    console.error(`the worker has ended: ${code}`);
    process.exit(1);
  });
  await new Promise((ready) => worker.once("message", ready));
}

// Ends a process whose parts would keep it.
function end(work) {
  work.then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { options, measure, startWorker, end };
