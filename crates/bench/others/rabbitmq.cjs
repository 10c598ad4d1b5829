// Whole lives with RabbitMQ: messages and replies that last, in quorum queues, each confirmed and acknowledged.
"use strict";

const { randomUUID } = require("node:crypto");
const amqp = require("amqplib");
const { options, measure, startWorker, end } = require("./loop.cjs");

const TASKS = "tasks";
const REPLIES = "replies";
// What a worker has at the same time, and after how many replies they are acknowledged together.
const PREFETCH = 1000;
const TOGETHER = 100;
const quorum = { durable: true, arguments: { "x-queue-type": "quorum" } };

async function work() {
  const connection = await amqp.connect(options.uri);
  const channel = await connection.createConfirmChannel();
  await channel.prefetch(PREFETCH);
  await channel.consume(TASKS, (message) => {
    const { id } = JSON.parse(message.content.toString());
    const reply = Buffer.from(JSON.stringify({ status: 200, id }));
    const { correlationId, messageId } = message.properties;
    // A task is done when its reply is safe.
    channel.sendToQueue(REPLIES, reply, { persistent: true, correlationId, messageId }, (error) => {
      if (error) throw error;
      channel.ack(message);
    });
  });
  process.send("ready");
  process.on("disconnect", () => process.exit(0));
}

async function post() {
  const connection = await amqp.connect(options.uri);
  const channels = await Promise.all(
    Array.from({ length: options.connections }, () => connection.createConfirmChannel()),
  );
  await channels[0].assertQueue(TASKS, quorum);
  await channels[0].assertQueue(REPLIES, quorum);
  const missing = new Map();
  const replies = await connection.createChannel();
  await replies.prefetch(PREFETCH);
  let unacknowledged = 0;
  await replies.consume(REPLIES, (message) => {
    const { correlationId, messageId } = message.properties;
    const waits = missing.get(correlationId);
    if (!waits?.ids.delete(messageId)) throw new Error("a reply came twice");
    if (waits.ids.size === 0) waits.done();
    unacknowledged += 1;
    if (unacknowledged >= TOGETHER || waits.ids.size === 0) {
      replies.ack(message, true);
      unacknowledged = 0;
    }
  });
  await startWorker(__filename);
  let last = 0;
  await measure(async (number) => {
    const batch = String(++last);
    const ids = Array.from({ length: options.size }, () => randomUUID());
    const replied = new Promise((done) => missing.set(batch, { ids: new Set(ids), done }));
    for (const id of ids) {
      const task = Buffer.from(JSON.stringify({ id, url: "http://127.0.0.1/" }));
      channels[number].sendToQueue(TASKS, task, { persistent: true, correlationId: batch, messageId: id });
    }
    await channels[number].waitForConfirms();
    await replied;
    missing.delete(batch);
  });
}

end(options.isWorker ? work().then(() => new Promise(() => {})) : post());
