// Asks for status.json every other second and writes what it says into the page.
"use strict";

const PAUSE_MS = 2000;
const HIDDEN_PAUSE_MS = 10000; // the title still tells, in a tab that nobody looks at
const PATIENCE_MS = 5000;
const NAMES = { dlr: "Delivery receipts", bill: "Billing events", submit: "Submissions" };
const STATUSES = ["delivered", "submitted", "pending", "failed", "expired", "rejected"];
const CAUSES = { malformed: "malformed", database: "refused by the database", failed: "failed too often", expired: "expired while parked" };
const WORKER_LEVELS = { ready: "good", starting: "quiet", draining: "quiet", "database away": "bad", "broker away": "bad", silent: "warning", missing: "warning" };
const DASH = "–";

let updated = null; // when the service last answered
let history = null; // what the charts show
let timer;
let looking = false;

// Words for figures

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const count = (value) => (value === null ? DASH : whole.format(value));
const rate = (value) => (value >= 10 || value === 0 ? whole.format(value) : value.toFixed(1));
const share = (value) => `${whole.format(100 * value)} %`;
const clock = (date) => date.toLocaleTimeString("en-GB");

function duration(seconds) {
  if (seconds < 1) return `${seconds < 0.01 ? (1000 * seconds).toFixed(1) : whole.format(1000 * seconds)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return span(seconds);
}

function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return two(minutes, "min", Math.floor(seconds % 60), "s");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? two(hours, "h", minutes % 60, "min") : two(Math.floor(hours / 24), "d", hours % 24, "h");
}

const two = (large, unit, small, smaller) => `${large} ${unit}${small ? ` ${small} ${smaller}` : ""}`;

function bytes(value) {
  return value ? `${whole.format(value / 1048576)} MB` : DASH;
}

function spread(found, otherwise) {
  return found ? [duration(found.p50), `p99 ${duration(found.p99)}`] : [otherwise, ""];
}

function listed(counts) {
  return Object.entries(counts).map(([name, value]) => `${name} ${value}`).join(" · ");
}

// Into the page

function make(name, text = "", properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, properties);
}

function fill(root, fields) {
  for (const [name, text] of Object.entries(fields)) {
    const element = root.querySelector(`[data-field="${name}"]`);
    if (element.textContent !== text) element.textContent = text; // else it would be read out again
  }
}

function pairs(root, name, rows) {
  root.querySelector(`[data-list="${name}"]`).replaceChildren(...rows.flatMap(([term, value, more = "", noted = false]) => {
    const definition = make("dd", value, { className: noted ? "noted" : "" });
    if (more) definition.append(" ", make("small", more));
    return [make("dt", term), definition];
  }));
}

function cell(text, className = "") {
  return make("td", text, { className });
}

function show(status) {
  updated = new Date();
  history = status.history;
  const { headline } = status;
  state(headline.level, headline.title, headline.detail, `for ${span(headline.since_s)}`);
  fill(document, {
    version: status.version,
    host: status.host,
    uptime: `up ${span(status.uptime_s)}`,
    updated: `last update ${clock(updated)}`,
    supervisor: `process ${status.pid} looks after them`,
  });
  for (const card of document.querySelectorAll("[data-stream]")) {
    if (!(card.dataset.stream in status.streams)) card.remove();
  }
  for (const [name, stream] of Object.entries(status.streams)) showStream(name, stream);
  showStatuses(status.statuses);
  showOpen(status);
  document.querySelector(".workers tbody").replaceChildren(...status.workers.map(workerRow));
  document.querySelector("main").hidden = false;
}

function state(level, title, detail, since) {
  document.body.dataset.level = level;
  document.title = `${title} · billing-service`;
  fill(document, { title, detail, since });
}

function showStream(name, stream) {
  const card = streamCard(name);
  fill(card, { queue: stream.queue, rate: rate(stream.rate) });
  draw(card, name);
  const noLag = stream.commit ? "unknown" : DASH;
  const [lag, lagMore] = spread(stream.lag, noLag);
  const [commit, commitMore] = spread(stream.commit, DASH);
  const flushed = Object.fromEntries(Object.entries(stream.flushed_by).map(([reason, part]) => [reason, share(part)]));
  pairs(card, "figures", [
    ["settled", count(stream.settled), "since the start"],
    ["waiting in RabbitMQ", count(stream.waiting), "", stream.waiting > stream.batch_size],
    ["in hand", count(stream.in_hand)],
    ["age at commit", lag, lag === "unknown" ? "messages carry no time" : lagMore],
    ["commit", commit, commitMore],
    ["batch", stream.batch === null ? DASH : rate(stream.batch), `of ${count(stream.batch_size)} at most`],
    ["flushed by", listed(flushed) || DASH],
    ["outcomes", listed(Object.fromEntries(Object.entries(stream.outcomes).map(([k, v]) => [k, count(v)]))) || DASH],
    ["redelivered", count(stream.redelivered)],
  ]);
}

function streamCard(name) {
  const streams = document.querySelector(".streams");
  let card = streams.querySelector(`[data-stream="${name}"]`);
  if (!card) {
    card = document.getElementById("stream").content.firstElementChild.cloneNode(true);
    card.dataset.stream = name;
    card.setAttribute("aria-label", NAMES[name] ?? name);
    fill(card, { name: NAMES[name] ?? name });
    const chart = card.querySelector(".chart");
    chart.addEventListener("pointermove", (event) => point(card, name, event.offsetX / chart.clientWidth));
    chart.addEventListener("pointerleave", () => point(card, name, null));
    streams.append(card);
  }
  return card;
}

// Charts: an SVG of 600 by 100, whatever the size of the card

// Whole minutes, so that the axis stands still between two updates.
const reach = () => Math.max(60, 60 * Math.ceil((history.ages_s[0] ?? 0) / 60));
const x = (age) => 600 * (1 - age / reach());

function draw(card, name) {
  const rates = history.rates[name];
  const most = Math.max(1, ...rates);
  const points = rates.map((value, index) => `${x(history.ages_s[index]).toFixed(1)} ${(100 - (92 * value) / most).toFixed(1)}`);
  const line = points.length ? `M${points.join("L")}` : "";
  card.querySelector(".line").setAttribute("d", line);
  card.querySelector(".area").setAttribute("d", line && `${line}V100H${x(history.ages_s[0]).toFixed(1)}Z`);
  const peak = `most ${rate(Math.max(0, ...rates))}/s`;
  fill(card, { most: peak, from: `${reach() / 60} min ago` });
  const spoken = `events a second in the last ${reach() / 60} min: now ${rate(rates.at(-1) ?? 0)}, ${peak}`;
  card.querySelector("svg").setAttribute("aria-label", spoken);
}

function point(card, name, at) {
  const cursor = card.querySelector(".cursor");
  const wanted = at === null ? null : (1 - at) * reach();
  const index = wanted === null ? -1 : nearest(history.ages_s, wanted);
  cursor.style.visibility = index < 0 ? "" : "visible";
  if (index < 0) return fill(card, { reading: "" });
  const age = history.ages_s[index];
  cursor.setAttribute("x1", x(age));
  cursor.setAttribute("x2", x(age));
  fill(card, { reading: `${rate(history.rates[name][index])}/s at ${clock(new Date(updated - 1000 * age))}` });
}

function nearest(ages, wanted) {
  return ages.reduce((best, age, index) => (best < 0 || Math.abs(age - wanted) < Math.abs(ages[best] - wanted) ? index : best), -1);
}

function showStatuses(tallies) {
  const most = Math.max(1, ...Object.values(tallies).map((tally) => tally.total));
  const rows = STATUSES.map((status) => {
    const { total, rate: growth } = tallies[status] ?? { total: 0, rate: 0 };
    const row = make("tr", "", { className: total ? "" : "nothing" });
    const bar = make("div", "", { className: "bar" });
    bar.style.width = `${(100 * total) / most}%`;
    bar.style.setProperty("--colour", `var(--${status})`);
    const drawn = cell("");
    drawn.append(bar);
    row.append(make("th", status, { scope: "row" }), drawn, cell(count(total), "number"), cell(total ? `${rate(growth)}/s` : "", "number"));
    return row;
  });
  document.querySelector(".statuses tbody").replaceChildren(...rows);
}

function showOpen({ streams, money }) {
  const rows = [];
  for (const [name, stream] of Object.entries(streams)) {
    rows.push([`${name}: parked`, count(stream.parked), stream.parked ? `oldest ${span(stream.parked_oldest_s)}` : ""]);
  }
  for (const [name, stream] of Object.entries(streams)) {
    rows.push([`${name}: in the dead queue`, count(stream.dead_waiting), stream.dead_waiting ? "billing-service dlq list" : "", stream.dead_waiting > 0]);
    for (const [cause, value] of Object.entries(stream.dead_letters)) {
      rows.push([`${name}: ${CAUSES[cause] ?? cause}`, count(value), "since the start"]);
    }
  }
  rows.push(["refunds waiting", count(money.waiting), money.waiting ? `oldest ${span(money.oldest_s)}` : ""]);
  rows.push(["refunds booked", count(money.booked.refund ?? 0), "since the start"]);
  for (const [kind, value] of Object.entries(money.booked)) {
    if (kind !== "refund") rows.push([`money: ${kind}`, count(value), "since the start", kind === "given up"]);
  }
  pairs(document, "open", rows);
}

function workerRow(worker) {
  const row = make("tr");
  const at = make("td", "");
  at.dataset.level = WORKER_LEVELS[worker.state] ?? "warning";
  at.append(make("span", "", { className: "dot" }), worker.state);
  row.append(
    make("th", `worker-${worker.number}`, { scope: "row" }),
    at,
    cell(worker.circuit, "more"),
    cell(worker.pid === null ? DASH : String(worker.pid), "more number"),
    cell(worker.pid === null ? DASH : span(worker.uptime_s), "more number"),
    cell(bytes(worker.rss_bytes), "more number"),
    cell(count(worker.restarts), "number"),
    cell(count(worker.hangs), "number"),
  );
  return row;
}

// From time to time

function lose() {
  const last = updated ? `last update ${clock(updated)}, ${span((Date.now() - updated) / 1000)} ago` : "no update yet";
  state("lost", "No answer", "the service has ended, or cannot be reached; trying again", last);
}

async function look() {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  try {
    const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof DOMException)) console.error(error);
    lose();
  }
  looking = false;
  timer = setTimeout(look, document.hidden ? HIDDEN_PAUSE_MS : PAUSE_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || look());
look();
