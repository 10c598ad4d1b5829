// Whole lives with graphile-worker: jobs are added in batches, taken in batches, their results stored in batches, and read.
"use strict";

const { randomUUID } = require("node:crypto");
const { Logger, makeWorkerUtils, run } = require("graphile-worker");
const pg = require("pg");
const { options, measure, startWorker, end } = require("./loop.cjs");

const quiet = new Logger(() => () => {});

async function work() {
  const pgPool = new pg.Pool({ connectionString: options.uri, max: 20 });
  let waiting = [];
  let isStoring = false;
  // Stores what has come meanwhile in one statement, which also tells who waits for it.
  async function storeAll() {
    isStoring = true;
    while (waiting.length > 0) {
      const now = waiting;
      waiting = [];
      const counts = new Map();
      for (const { batch } of now) counts.set(batch, (counts.get(batch) ?? 0) + 1);
      const news = [...counts].map(([batch, count]) => `${batch}:${count}`).join(",");
      try {
        await pgPool.query({
          name: "store",
          text: `with stored as (insert into result (id, batch, result)
                 select * from unnest($1::uuid[], $2::bigint[], $3::text[]))
                 select pg_notify('stored', $4)`,
          values: [now.map((one) => one.id), now.map((one) => one.batch), now.map((one) => one.result), news],
        });
        for (const one of now) one.stored();
      } catch (error) {
        for (const one of now) one.failed(error);
      }
    }
    isStoring = false;
  }
  function life({ id, batch }) {
    return new Promise((stored, failed) => {
      waiting.push({ id, batch, result: JSON.stringify({ status: 200, id }), stored, failed });
      if (!isStoring) setImmediate(() => isStoring || storeAll());
    });
  }
  await run({
    pgPool,
    logger: quiet,
    noHandleSignals: true,
    taskList: { life },
    preset: {
      worker: { concurrentJobs: 500, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
    },
  });
  process.send("ready");
  process.on("disconnect", () => process.exit(0));
}

async function post() {
  const pgPool = new pg.Pool({ connectionString: options.uri, max: options.connections });
  const utils = await makeWorkerUtils({ pgPool, logger: quiet });
  await utils.migrate();
  await pgPool.query("create table result (id uuid primary key, batch bigint not null, result text not null)");
  await pgPool.query("create index on result (batch)");
  const missing = new Map();
  const listener = new pg.Client({ connectionString: options.uri });
  await listener.connect();
  await listener.query("listen stored");
  listener.on("notification", ({ payload }) => {
    for (const news of payload.split(",")) {
      const [batch, count] = news.split(":").map(Number);
      const waits = missing.get(batch);
      waits.count -= count;
      if (waits.count === 0) waits.done();
    }
  });
  await startWorker(__filename);
  let last = 0;
  await measure(async () => {
    const batch = ++last;
    const stored = new Promise((done) => missing.set(batch, { count: options.size, done }));
    const ids = Array.from({ length: options.size }, () => randomUUID());
    await utils.addJobs(
      ids.map((id) => ({ identifier: "life", payload: { id, batch, url: "http://127.0.0.1/" }, maxAttempts: 1 })),
    );
    await stored;
    missing.delete(batch);
    const { rows } = await pgPool.query({
      name: "read",
      text: "select id, result from result where batch = $1",
      values: [batch],
    });
    const found = new Set(rows.map((row) => row.id));
    if (rows.length !== options.size || !ids.every((id) => found.has(id))) throw new Error("a result is missing");
  });
}

end(options.isWorker ? work().then(() => new Promise(() => {})) : post());
