// What pages do beyond showing themselves: they stay as the server sees things, tell times in the viewer's zone, and
// take keys. Every page works without it. What comes from the server is parsed as a document of its own, in which no
// script runs, and moved over node by node.
"use strict";
(() => {
  /** A page is fetched at most once in this long, however many events come. */
  const AT_MOST_EVERY = 1000;
  /** Without events, pages are fetched this often. */
  const POLL = 5000;
  /** With events, too, since ages and averages change by themselves. */
  const REFRESH = 15000;
  const TIMEOUT = 15000;

  const root = new URL(document.documentElement.dataset.root, document.baseURI);
  const main = document.getElementById("main");
  const live = document.getElementById("live");

  // ---- Times -------------------------------------------------------------------------------------------------------

  const zoned = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

  function local(date) {
    const parts = Object.fromEntries(zoned.formatToParts(date).map((part) => [part.type, part.value]));
    return `${parts.year}-${parts.month}-${parts.day} ${parts.hour}:${parts.minute}:${parts.second}`;
  }

  /** Writes the times of a page in the viewer's zone, with UTC beside them for who hovers. */
  function localize(within) {
    for (const time of within.querySelectorAll("time[datetime]:not([data-age])")) {
      const date = new Date(time.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      time.title = time.textContent;
      time.textContent = local(date);
    }
  }

  /** Writes the address of the AFM, as this browser has found it, into the commands of a page. */
  function address(within) {
    const base = new URL("..", root).href.replace(/\/$/, "");
    for (const place of within.querySelectorAll("[data-base]")) place.textContent = base;
  }

  // ---- Staying as the server sees things -----------------------------------------------------------------------------

  /** What names an element among its siblings. */
  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key || "" : "");
  const isLike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  /** Whether somebody is at work in an element, so that it stays as it is. */
  function isKept(element) {
    return element.hasAttribute("data-keep");
  }

  /** Makes `old` say what `fresh` says, and touches nothing that says so already: focus, selection and scroll stay. */
  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (isKept(old)) return;
    for (const { name } of [...old.attributes]) {
      if (name !== "hidden" && name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name === "hidden" || name === "open") continue;
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (old instanceof HTMLInputElement || old instanceof HTMLTextAreaElement || old instanceof HTMLSelectElement) return;
    const keyed = new Map();
    for (const child of old.children) if (keyOf(child)) keyed.set(keyOf(child), child);
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const key = keyOf(child);
      const named = key ? keyed.get(key) : null;
      if (named && isLike(named, child)) {
        if (named !== place) old.insertBefore(named, place);
        else place = place.nextSibling;
        keyed.delete(key);
        morph(named, child);
      } else if (place && !key && isLike(place, child)) {
        const next = place.nextSibling;
        morph(place, child);
        place = next;
      } else {
        old.insertBefore(document.importNode(child, true), place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
    for (const child of keyed.values()) if (child.parentNode === old) child.remove();
  }

  let asOf = new Date();
  let fetching = false;
  let wanted = false;
  let timer = 0;
  let nextFetch = 0;

  function say(text, isLost) {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("lost", isLost);
  }
  const sayLive = () => say("live", false);
  const sayLost = () => say(`reconnecting, as of ${clock.format(asOf)}`, true);

  async function refresh() {
    wanted = false;
    if (fetching || document.hidden) {
      wanted = true;
      return;
    }
    fetching = true;
    nextFetch = Date.now() + AT_MOST_EVERY;
    try {
      const answer = await fetch(location.href, {
        cache: "no-store", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(TIMEOUT),
      });
      if (answer.status >= 500) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh) throw new Error("no page of the dashboard");
      localize(fresh);
      address(fresh);
      morph(main, fresh);
      if (page.title !== document.title) document.title = page.title;
      equip(main);
      asOf = new Date();
      sayLive();
    } catch {
      sayLost();
    }
    fetching = false;
    if (wanted) schedule();
  }

  /** Fetches the page soon, once for all that has happened meanwhile. */
  function schedule() {
    wanted = true;
    if (timer || fetching || document.hidden) return;
    timer = setTimeout(() => {
      timer = 0;
      refresh();
    }, Math.max(0, nextFetch - Date.now()));
  }

  let events = null;
  let polling = 0;
  let again = 0;

  function listen() {
    const stream = main.querySelector("[data-live]")?.dataset.live;
    if (document.hidden || !stream) return;
    poll(POLL);
    const source = new EventSource(new URL(stream, root));
    events = source;
    source.onopen = () => {
      poll(REFRESH);
      // What happened while nobody listened is not told; and what the server shows may be a second old.
      schedule();
      clearTimeout(again);
      again = setTimeout(schedule, 2 * AT_MOST_EVERY);
    };
    source.addEventListener("changes", schedule);
    source.onerror = () => {
      poll(POLL);
      if (source.readyState !== EventSource.CLOSED) sayLost();
    };
  }

  function poll(every) {
    clearInterval(polling);
    polling = setInterval(schedule, every);
  }

  function stop() {
    events?.close();
    events = null;
    clearInterval(polling);
    clearTimeout(timer);
    clearTimeout(again);
    polling = timer = 0;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
    } else {
      listen();
      if (polling) schedule();
    }
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      listen();
      schedule();
    }
  });

  // ---- Copying, choosing, checking, fresh ids ------------------------------------------------------------------------

  /** Shows the buttons that only work with this script. */
  function equip(within) {
    for (const button of within.querySelectorAll("[data-copy], [data-all], [data-fresh]")) button.hidden = false;
  }

  /** Copies a text the old way, which also works over plain HTTP. */
  function copySelected(text) {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "unseen";
    document.body.append(field);
    field.focus({ preventScroll: true });
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }

  /** Copies what is shown, or all of it where only the beginning is shown. */
  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    let done = false;
    try {
      const whole = button.dataset.whole;
      const text = whole ? await fetchText(whole) : source.textContent;
      done = await navigator.clipboard?.writeText(text).then(() => true, () => false) || copySelected(text);
    } catch {
      // The server has not answered.
    }
    if (!done) getSelection().selectAllChildren(source);
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    button.focus();
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  async function fetchText(address) {
    const answer = await fetch(address, { credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.text();
  }

  /** A random UUID; the browser's own function is only there over HTTPS. */
  function freshId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy], [data-fresh]");
    if (button?.dataset.copy) copy(button);
    if (button?.dataset.fresh) document.getElementById(button.dataset.fresh).value = freshId();
  });

  document.addEventListener("change", (event) => {
    const all = event.target;
    if (!all.matches?.("[data-all]")) return;
    for (const box of all.closest("form").querySelectorAll(`input[name="${all.dataset.all}"]`)) box.checked = all.checked;
  });

  /** Says what is wrong with a JSON object; nothing is one, too. */
  function problemOf(text) {
    if (!text.trim()) return "";
    try {
      const value = JSON.parse(text);
      return value && typeof value === "object" && !Array.isArray(value) ? "" : "must be a JSON object, as in {\"url\": \"…\"}";
    } catch (error) {
      return `is not valid JSON: ${error.message}`;
    }
  }

  /** Checks JSON once whoever writes it pauses. */
  let checking = 0;
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.dataset?.json) return;
    clearTimeout(checking);
    checking = setTimeout(() => {
      const problem = problemOf(field.value);
      const place = document.getElementById(field.dataset.json);
      if (place.textContent !== problem) place.textContent = problem;
      if (problem) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }, 250);
  });

  /** Keeps what nobody has filled in out of the addresses of lists. */
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });

  // ---- Keys ----------------------------------------------------------------------------------------------------------

  const help = document.getElementById("help");
  const rows = () => [...main.querySelectorAll("[data-row]")];

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const row = document.activeElement?.closest("tr, li");
    const at = all.findIndex((link) => link === document.activeElement || (row && row.contains(link)));
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
    all[next].focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target;
    const isTyping = target.matches?.("textarea, select, [contenteditable], input:not([type=checkbox])");
    if (isTyping) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (help.open) return;
    switch (event.key) {
      case "/": document.getElementById("find").focus(); break;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "?": help.showModal(); break;
      default: return;
    }
    event.preventDefault();
  });

  // ---- Begin ---------------------------------------------------------------------------------------------------------

  localize(main);
  address(main);
  equip(main);
  if (main.querySelector("[data-live]")) sayLive();
  listen();
})();
