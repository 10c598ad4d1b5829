// The dashboard page. What clients sent reaches the page as text alone: textContent and createElement, never markup.
"use strict";

const REFRESH_MS = 5000;
const STATUS_TIMEOUT_MS = 15000;
const POST_TIMEOUT_MS = 30000;
/** Characters shown of a name or type; clients may send megabytes. */
const NAME_MAX = 120;

// "/prefix/dashboard" and "/prefix/dashboard/" both give "/prefix/dashboard". Starting from the origin keeps a user and
// password out of the URL (fetch refuses those), and a path of "//host" from naming another host.
const pagePath = location.pathname.replace(/\/+$/, "");
const serverUrl = location.origin + pagePath.slice(0, pagePath.lastIndexOf("/"));
const statusUrl = `${location.origin}${pagePath}/status`;

const byId = (id) => document.getElementById(id);

/** An element with a class and children; strings become text. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Writes only what changed, so selections survive and screen readers stay quiet. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const count = (n) => n.toLocaleString("en");
const plural = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;

function clipped(text) {
  const head = Array.from(text.slice(0, 2 * NAME_MAX));
  return text.length > head.length || head.length > NAME_MAX ? `${head.slice(0, NAME_MAX).join("")}…` : text;
}

function setClientText(element, value, whenEmpty) {
  const text = String(value ?? "");
  const blank = text.trim() === "";
  element.classList.toggle("none", blank);
  setText(element, blank ? whenEmpty : clipped(text));
}

// ---- Times -------------------------------------------------------------------------------------------------------

/** Milliseconds by which the server's clock is ahead of this one: "ago" must not depend on the viewer's clock. */
let clockAhead = 0;

/** Reads `2026-11-22 19:23:01.621614` and ISO 8601; a time without a zone is UTC. NaN when it is neither. */
function parseTime(value) {
  const parts = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,3})?\d*(Z|[+-]\d\d:?\d\d)?$/.exec(String(value));
  if (!parts) return NaN;
  const zone = parts[4] ? parts[4].replace(/^([+-]\d\d)(\d\d)$/, "$1:$2") : "Z";
  return Date.parse(`${parts[1]}T${parts[2]}${parts[3] ?? ""}${zone}`);
}

const utc = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 120 * 60) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function setTime(element, value) {
  const ms = parseTime(value);
  if (Number.isNaN(ms)) {
    element.removeAttribute("datetime");
    setText(element, clipped(String(value ?? "")));
  } else {
    element.dateTime = new Date(ms).toISOString();
    setText(element, utc(ms));
  }
  return ms;
}

// ---- Keyed lists -------------------------------------------------------------------------------------------------

/** Parent element to its rows: key to `{element, update(item)}`. */
const rowsOf = new WeakMap();

/**
 * Makes the children of `parent` after `fixed` (a child, or null for all) match `items`, keeping the element of every key
 * that stays: open details, focus, scroll position and selection live in those elements.
 */
function reconcile(parent, fixed, items, keyOf, create) {
  const old = rowsOf.get(parent) ?? new Map();
  const rows = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!rows.has(key)) rows.set(key, old.get(key) ?? create(item));
  }
  for (const [key, row] of old) if (!rows.has(key)) row.element.remove();
  let next = fixed ? fixed.nextElementSibling : parent.firstElementChild;
  for (const row of rows.values()) {
    if (row.element === next) next = next.nextElementSibling;
    else parent.insertBefore(row.element, next);
  }
  rowsOf.set(parent, rows);
  for (const item of items) rows.get(keyOf(item)).update(item);
}

function cell(tag, label, child) {
  const element = make(tag, "", child);
  element.setAttribute("role", tag === "th" ? "rowheader" : "cell");
  if (tag === "th") element.scope = "row";
  if (label) element.dataset.label = label;
  return element;
}

function row(...cells) {
  const element = make("tr", "", ...cells);
  element.setAttribute("role", "row");
  return element;
}

// ---- Pending tasks -----------------------------------------------------------------------------------------------

function pendingRow() {
  const type = make("span", "text");
  const version = make("span", "number");
  const taskId = make("span", "id");
  const testId = make("span", "id");
  return {
    element: row(cell("th", "Type", type), cell("td", "Version", version), cell("td", "Task id", taskId), cell("td", "Test id", testId)),
    update(task) {
      setClientText(type, task.task_type, "(empty)");
      setText(version, String(task.task_version));
      setText(taskId, task.task_id);
      setText(testId, task.test_id);
    },
  };
}

// ---- Agents and their tasks --------------------------------------------------------------------------------------

/** An agent's task; one that nobody has claimed is in the other table. */
function stateOf(task) {
  if (task.task_failed != null) return "failed";
  if (task.task_completed != null) return "completed";
  return "claimed";
}

function size(bytes) {
  if (bytes < 1000) return plural(bytes, "byte");
  for (const unit of ["kB", "MB", "GB"]) {
    bytes /= 1000;
    if (bytes < 999.95 || unit === "GB") return `${bytes.toFixed(1)} ${unit}`;
  }
}

/** What came out of a task: text on demand, put into the page when it is opened. Null when there is nothing to show. */
function outcome(task) {
  const failed = stateOf(task) === "failed";
  const text = failed ? task.task_error : task.task_result;
  if (text == null) {
    if (typeof task.task_result_bytes !== "number") return null;
    const link = make("a", "", "open the whole task");
    link.href = `${serverUrl}/task/${encodeURIComponent(task.task_id)}`;
    return make("p", "large", `Result of ${size(task.task_result_bytes)}, too large to show here: `, link);
  }
  const details = make("details", "", make("summary", "", failed ? "Error" : "Result"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const pre = make("pre", "", text === "" ? "(empty)" : text);
    pre.tabIndex = 0;
    details.append(pre);
  });
  return details;
}

function jobItem() {
  const badge = make("span", "badge");
  const type = make("span", "text");
  const version = make("span", "muted number");
  const time = make("time");
  const when = make("span", "muted", time, " UTC");
  const taskId = make("dd", "id");
  const testId = make("dd", "id");
  const result = make("div", "outcome");
  let shown = null;
  return {
    element: make("li", "",
      make("div", "what", badge, type, version, when),
      make("dl", "ids", make("div", "", make("dt", "", "task"), taskId), make("div", "", make("dt", "", "test"), testId)),
      result),
    update(task) {
      const state = stateOf(task);
      setText(badge, state);
      badge.className = `badge ${state}`;
      setClientText(type, task.task_type, "(empty type)");
      setText(version, `version ${task.task_version}`);
      when.hidden = state === "claimed";
      if (!when.hidden) setTime(time, task.task_failed ?? task.task_completed);
      setText(taskId, task.task_id);
      setText(testId, task.test_id);
      const same = shown && stateOf(shown) === state && shown.task_error === task.task_error
        && shown.task_result === task.task_result && shown.task_result_bytes === task.task_result_bytes;
      if (!same) result.replaceChildren(outcome(task) ?? "");
      shown = task;
    },
  };
}

function tasksInWords(agent) {
  const counts = { claimed: 0, completed: 0, failed: 0 };
  for (const task of agent.tasks) counts[stateOf(task)] += 1;
  const states = Object.entries(counts).filter(([, n]) => n > 0).map(([state, n]) => `${count(n)} ${state}`).join(", ");
  return agent.tasks_truncated ? `Newest ${plural(agent.tasks.length, "task")}: ${states}` : `${plural(agent.tasks.length, "task")}: ${states}`;
}

function agentRows() {
  const name = make("span", "text");
  const id = make("span", "id");
  const time = make("time");
  const ago = make("span", "ago");
  const summary = make("summary");
  const jobs = make("ul", "jobs");
  jobs.setAttribute("role", "list");
  const cut = make("p", "cut");
  const details = make("details", "", summary, jobs, cut);
  const none = make("span", "none", "No tasks");
  const under = cell("td", "", details);
  under.append(none);
  under.colSpan = 3;
  const more = row(under);
  more.className = "more";
  const element = make("tbody", "agent", row(cell("th", "Name", name), cell("td", "Agent id", id), cell("td", "Last seen", make("span", "", time, " UTC ", ago))), more);
  element.setAttribute("role", "rowgroup");

  let agent = null;
  // A closed agent has no list: a hundred agents may hold ten thousand tasks.
  const fill = () => {
    if (details.open) reconcile(jobs, null, agent.tasks, (task) => task.task_id, jobItem);
  };
  details.addEventListener("toggle", fill);
  return {
    element,
    update(now) {
      agent = now;
      setClientText(name, agent.agent_name, "(no name)");
      setText(id, agent.agent_id);
      ago.dataset.at = String(setTime(time, agent.last_seen));
      details.hidden = agent.tasks.length === 0;
      none.hidden = !details.hidden;
      setText(summary, tasksInWords(agent));
      cut.hidden = !agent.tasks_truncated;
      setText(cut, `Only the newest ${plural(agent.tasks.length, "task")} of this agent are listed.`);
      fill();
    },
  };
}

// ---- The page ----------------------------------------------------------------------------------------------------

function showCount(element, shown, total) {
  setText(element, total > shown ? `newest ${count(shown)} of ${count(total)}` : shown > 0 ? count(shown) : "");
}

const collator = new Intl.Collator("en", { numeric: true });
/** By name, then id: rows that jump to the top with each poll cannot be read. */
const agentOrder = (a, b) => collator.compare(a.agent_name ?? "", b.agent_name ?? "") || (a.agent_id < b.agent_id ? -1 : 1);

function show(status) {
  const focused = document.activeElement;

  reconcile(byId("tasks"), null, status.tasks, (task) => task.task_id, pendingRow);
  byId("tasks-table").hidden = status.tasks.length === 0;
  byId("tasks-empty").hidden = status.tasks.length > 0;
  setText(byId("tasks-empty"), "No task waits.");
  showCount(byId("tasks-count"), status.tasks.length, status.tasks_total);

  const agents = byId("agents-table");
  reconcile(agents, agents.tHead, [...status.agents].sort(agentOrder), (agent) => agent.agent_id, agentRows);
  agents.hidden = status.agents.length === 0;
  const noAgents = byId("agents-empty");
  noAgents.hidden = status.agents.length > 0;
  if (!noAgents.querySelector("code")) {
    noAgents.replaceChildren("No agent has polled lately: start one with ", make("code", "", `slamon-agent -u ${serverUrl} -l slamon_agent.handlers`));
  }
  showCount(byId("agents-count"), status.agents.length, status.agents_total);

  // An element that moved in the list lost its focus on the way.
  if (focused && focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** When the data shown was received (ms, this clock), or null. */
let receivedAt = null;
let timer = 0;
let asking = false;
let askAgain = false;

function tick() {
  const now = Date.now();
  for (const element of document.querySelectorAll(".ago")) {
    const at = Number(element.dataset.at);
    setText(element, Number.isNaN(at) ? "" : `${duration(now + clockAhead - at)} ago`);
  }
  // Not a live region: its text changes every second.
  if (receivedAt !== null) {
    setText(byId("age"), `As of ${utc(receivedAt + clockAhead).slice(11)} UTC, ${duration(now - receivedAt)} ago`);
  }
}

/** Says what is wrong with the connection, or nothing for "". Announced only when the words change. */
function setTrouble(text) {
  setText(byId("trouble"), text);
}

/** The `detail` of a problem+json answer, else its status. */
async function problemOf(response) {
  const status = `${response.status} ${response.statusText}`.trim();
  try {
    const problem = JSON.parse(await response.text());
    const words = problem.detail ?? problem.title;
    return typeof words === "string" && words !== "" ? words : status;
  } catch {
    return status;
  }
}

/** Reads the state. Integers beyond 2^53 (a task version is 64-bit) stay the digits they were, where the browser gives them. */
function parseStatus(text) {
  const exact = (_key, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && context?.source ? context.source : value;
  const status = JSON.parse(text, exact);
  if (!Array.isArray(status?.tasks) || !Array.isArray(status.agents)) throw new SyntaxError("no lists");
  status.tasks_total ??= status.tasks.length;
  status.agents_total ??= status.agents.length;
  for (const agent of status.agents) agent.tasks ??= [];
  return status;
}

async function ask() {
  let response;
  let text;
  try {
    response = await fetch(statusUrl, {
      cache: "no-store",
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(STATUS_TIMEOUT_MS),
    });
    if (!response.ok) return `The server answered with an error (${await problemOf(response)}).`;
    text = await response.text();
  } catch {
    return "The server cannot be reached.";
  }
  let status;
  try {
    status = parseStatus(text);
  } catch {
    return "The server's answer is not the state of the fleet; perhaps a proxy answered in its place.";
  }
  receivedAt = Date.now();
  const serverTime = Date.parse(response.headers.get("Date") ?? "");
  // The header has whole seconds: a smaller difference says nothing.
  clockAhead = Math.abs(serverTime - receivedAt) > 2000 ? serverTime - receivedAt : 0;
  show(status);
  return "";
}

/** Asks now, and again REFRESH_MS after the answer for as long as the page can be seen. */
async function refresh() {
  if (asking) {
    askAgain = true;
    return;
  }
  clearTimeout(timer);
  asking = true;
  askAgain = false;
  const trouble = await ask().catch((error) => {
    console.error(error);
    return "This page could not show what the server answered.";
  });
  asking = false;
  const kept = receivedAt === null ? "Nothing has been received so far." : "Shown is the last state received.";
  setTrouble(trouble && `${trouble} ${kept} Trying again every ${REFRESH_MS / 1000} seconds.`);
  if (trouble && receivedAt === null) {
    setText(byId("tasks-empty"), "Not known yet.");
    setText(byId("agents-empty"), "Not known yet.");
  }
  tick();
  if (document.hidden) return;
  if (askAgain) refresh();
  else timer = setTimeout(refresh, REFRESH_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
setInterval(() => {
  if (!document.hidden) tick();
}, 1000);

// ---- Posting a task ----------------------------------------------------------------------------------------------

/** A random UUID, version 4. crypto.randomUUID is missing on plain http (save localhost). */
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function uuidError(text) {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) ? "" : "Must be a UUID: 8-4-4-4-12 hex digits.";
}

function versionError(text) {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return "Must be a whole number in digits, of 64 bits at most.";
  return BigInt.asIntN(64, BigInt(text)) === BigInt(text) ? "" : "Must fit into 64 bits.";
}

function dataError(text) {
  if (text.trim() === "") return "";
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? "" : "Must be a JSON object: { … }.";
  } catch (error) {
    return `Not valid JSON: ${error.message}`;
  }
}

const checks = {
  task_type: (text) => (text === "" ? "Must not be empty." : ""),
  task_version: versionError,
  task_data: dataError,
  task_id: uuidError,
  test_id: uuidError,
};

/** The text of a field; white space around ids and numbers comes from pasting. */
function valueOf(name) {
  const text = byId(name).value;
  return name === "task_type" || name === "task_data" ? text : text.trim();
}

function check(name) {
  const error = checks[name](valueOf(name));
  const place = byId(`${name}-error`);
  setText(place, error);
  place.hidden = error === "";
  byId(name).setAttribute("aria-invalid", String(error !== ""));
  return error === "";
}

/**
 * The request body. Version and data go in as they were typed, so that no number is re-encoded: both were checked to be
 * one complete JSON value.
 */
function bodyOf() {
  const members = ["task_id", "test_id", "task_type"].map((name) => `"${name}":${JSON.stringify(valueOf(name))}`);
  members.push(`"task_version":${valueOf("task_version")}`);
  const data = valueOf("task_data");
  if (data.trim() !== "") members.push(`"task_data":${data}`);
  return `{${members.join(",")}}`;
}

function say(kind, text) {
  const said = byId("said");
  said.className = `said ${kind}`;
  said.textContent = text;
}

async function post() {
  const taskId = valueOf("task_id");
  let response;
  try {
    response = await fetch(`${serverUrl}/task`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/problem+json, application/json" },
      body: bodyOf(),
      signal: AbortSignal.timeout(POST_TIMEOUT_MS),
    });
  } catch {
    // The same task posted twice is one task, by its id.
    say("bad", "No answer from the server. Whether it took the task is not known; posting it again unchanged is safe.");
    return;
  }
  if (!response.ok) {
    say("bad", `Not posted: ${await problemOf(response)}`);
    return;
  }
  say("good", `Posted task ${taskId}.`);
  // Unless it was edited meanwhile.
  if (valueOf("task_id") === taskId) byId("task_id").value = newId();
  refresh();
}

let posting = false;
byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (posting) return;
  say("", "");
  const wrong = ["task_type", "task_version", "task_data", "task_id", "test_id"].filter((name) => !check(name));
  if (wrong.length > 0) {
    byId(wrong[0]).focus();
    return;
  }
  posting = true;
  byId("send").setAttribute("aria-disabled", "true");
  await post();
  posting = false;
  byId("send").removeAttribute("aria-disabled");
});

for (const name of Object.keys(checks)) {
  // A field is told off when it is left, and cleared as soon as it is right.
  byId(name).addEventListener("change", () => check(name));
  byId(name).addEventListener("input", () => {
    if (byId(name).getAttribute("aria-invalid") === "true") check(name);
  });
}
for (const name of ["task_id", "test_id"]) {
  byId(name).value = newId();
  byId(`${name}-new`).addEventListener("click", () => {
    byId(name).value = newId();
    check(name);
  });
}
byId("send").disabled = false;

refresh();
