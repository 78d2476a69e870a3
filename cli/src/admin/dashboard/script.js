// Owns what the page shows and tells: it asks once a second, and writes texts only.
// Never keeps the token anywhere but in this variable.
"use strict";

const WORDS = {
  back: "Back", down: "Down", draining: "Stopping", errors: "Errors", full: "Full",
  maintenance: "Maintenance", ok: "Well", open: "Open by hand", rescuing: "Rescuing",
  unknown: "Not reached",
};
const KINDS = ["fresh", "rescued", "failed", "refused"];
const EVERY = 1000;
let token = "";
let timer = 0;

const at = (id) => document.getElementById(id);
const put = (id, text) => {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
};
const number = (value) => value.toLocaleString("en");

function time(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([unit]) => seconds >= unit);
  if (first < 0) return "0 s";
  const shown = [];
  for (const [unit, word] of parts.slice(first, first + 2)) {
    const count = Math.floor(seconds / unit);
    seconds -= count * unit;
    if (count > 0) shown.push(`${count} ${word}`);
  }
  return shown.join(" ");
}

// What a restart would bring back.
function withOthers(others) {
  if (!others) return "nobody";
  if (others.trouble) return "nobody now: the Redis is not well";
  if (!others.is_current) return "nobody yet: catching up";
  if (others.instances < 2) return "no other instance is there";
  return `${number(others.instances - 1)} other instance${others.instances > 2 ? "s" : ""}`;
}

function onDisk(disk) {
  if (!disk) return "none";
  if (disk.is_failing) return "the disk fails: new copies are in memory only";
  return `${number(disk.copies)}, ${size(disk.bytes)}`;
}

function size(bytes) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (bytes < 1024) return `${bytes < 10 && unit !== "B" ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(1)} GiB`;
}

function clock(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toLocaleString();
}

async function ask(method, target) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(target, { method, headers, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) {
    token = "";
    at("token").hidden = false;
    at("all").hidden = true;
    at("verdict").dataset.state = "unknown";
    put("word", "Locked");
    put("sentence", "The token is asked for.");
  }
  return answer;
}

function draw(history) {
  const space = "http://www.w3.org/2000/svg";
  const steps = 120;
  const most = Math.max(1, ...history.map((step) => KINDS.reduce((sum, kind) => sum + step[kind], 0)));
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${steps} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  history.forEach((step, index) => {
    let top = 100;
    for (const kind of KINDS) {
      const height = step[kind] * 99 / most;
      if (height <= 0) continue;
      top -= height;
      const bar = document.createElementNS(space, "rect");
      bar.setAttribute("class", kind);
      bar.setAttribute("x", String(steps - history.length + index + 0.1));
      bar.setAttribute("y", String(top));
      bar.setAttribute("width", "0.8");
      bar.setAttribute("height", String(height));
      svg.append(bar);
    }
  });
  const axis = document.createElementNS(space, "line");
  for (const [name, value] of [["x1", "0"], ["x2", String(steps)], ["y1", "100"], ["y2", "100"]]) {
    axis.setAttribute(name, value);
  }
  axis.setAttribute("class", "axis");
  axis.setAttribute("vector-effect", "non-scaling-stroke");
  svg.append(axis);
  const scale = document.createElement("div");
  scale.className = "scale";
  for (const text of ["1 h ago", `highest: ${number(most)} in 30 s`, "now"]) {
    const part = document.createElement("span");
    part.textContent = text;
    scale.append(part);
  }
  at("chart").replaceChildren(svg, scale);
  const sums = KINDS.map((kind) => [kind, history.reduce((sum, step) => sum + step[kind], 0)]);
  const said = sums.map(([kind, sum]) => `${number(sum)} ${kind}`).join(", ");
  at("chart").setAttribute("aria-label", `Answers of the last hour: ${said}`);
}

function outage(record, goesOn) {
  const item = document.createElement("li");
  const line = (text, className) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    if (className) paragraph.className = className;
    item.append(paragraph);
  };
  const goes = record.first_good ? "answers again, and is watched" : "goes on";
  const end = goesOn ? goes : record.is_cut_off ? "the program ended before it did" : "over";
  line(`${clock(record.began)}, ${time(record.seconds)}, ${end}: ${record.cause}`);
  const { rescued, refused, failed, waited, writes_lost: lost } = record.answers;
  line(`${number(rescued)} rescued, ${number(refused)} refused, ${number(failed)} errors of the application, `
    + `${number(waited)} waited, ${number(lost)} writes lost; about ${number(record.visitors)} visitors; `
    + `oldest copy ${time(record.oldest_copy_seconds)}`, "more");
  if (record.worst_pages.length > 0) {
    const pages = record.worst_pages.map((page) => `${page.path} (${number(page.errors)})`);
    line(`Pages with the most errors: ${pages.join(", ")}`, "more");
  }
  return item;
}

function show(told) {
  const word = WORDS[told.state] ?? told.state;
  document.title = `${word} – RETTER`;
  at("verdict").dataset.state = told.state;
  put("word", word);
  put("sentence", told.verdict);
  put("meta", `version ${told.version}`);
  const hand = told.by_hand;
  at("hand").hidden = !hand;
  if (hand) {
    const message = hand.message ? `, with the message: ${hand.message}` : "";
    put("hand", `By hand: ${hand.state}, for another ${time(hand.left_seconds ?? 0)}${message}`);
  }
  draw(told.history);
  for (const kind of KINDS) put(kind, number(told.last_minute[kind]));
  put("circuit", told.circuit);
  put("pages", number(told.pages_open));
  put("inside", `${number(told.admission.in_flight)} of ${number(told.admission.limit)}`);
  put("waiting", number(told.admission.waiting));
  const wait = told.admission.room_wait_seconds;
  put("room", number(told.admission.waiting_room) + (wait === null ? "" : `, a wait of ${time(wait)}`));
  const usual = told.admission.usual_ms;
  put("usual", usual === null ? "not known yet" : `${usual < 10 ? usual.toFixed(1) : Math.round(usual)} ms`);
  const rescuable = told.copies.rescuable;
  put("rescuable", rescuable === null ? "none was asked for" : `${Math.floor(rescuable * 100)} %`);
  put("copies", number(told.copies.count));
  put("bytes", size(told.copies.bytes));
  put("disk", onDisk(told.copies.on_disk));
  put("others", withOthers(told.copies.with_others));
  put("uptime", time(told.uptime_seconds));
  put("dropped", number(told.log_lines_dropped));
  const { current, last } = told.outages;
  const items = last.slice(0, 10).map((record) => outage(record, false));
  if (current) items.unshift(outage(current, true));
  at("none").hidden = items.length > 0;
  at("list").replaceChildren(...items);
  const hints = told.suggestions.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  at("suggested").hidden = hints.length === 0;
  at("suggestions").replaceChildren(...hints);
  at("token").hidden = true;
  at("all").hidden = false;
}

async function look() {
  clearTimeout(timer);
  try {
    const answer = await ask("GET", "/overview");
    if (answer.ok) show(await answer.json());
  } catch {
    document.title = "Not reached – RETTER";
    at("verdict").dataset.state = "unknown";
    put("word", WORDS.unknown);
    put("sentence", "The instance does not answer at its admin address. What is shown is old.");
  }
  timer = setTimeout(look, document.hidden ? 10 * EVERY : EVERY);
}

async function tell(target) {
  try {
    const answer = await ask("POST", target);
    const text = (await answer.text()).trim();
    put("done", answer.ok ? said(text) : text.split("\n")[0]);
  } catch {
    put("done", "The instance was not reached: nothing was done.");
  }
  look();
}

function said(text) {
  const told = JSON.parse(text);
  if ("purged" in told) return `${number(told.purged)} copies dropped: ${told.what}`;
  if ("what" in told) return told.what;
  return told.by_hand ? `By hand: ${told.by_hand.state}` : "The circuits decide.";
}

const query = (pairs) => Object.entries(pairs)
  .map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");

const acts = {
  open: () => tell(`/circuit?${query({ state: "open", for: at("time").value })}`),
  closed: () => tell(`/circuit?${query({ state: "closed", for: at("time").value })}`),
  auto: () => tell("/circuit?state=auto"),
  probe: () => tell("/probe"),
  on: () => tell(`/maintenance?${query({ state: "on", for: at("length").value, message: at("message").value })}`),
  off: () => tell("/maintenance?state=off"),
  page: () => drop("url"),
  prefix: () => drop("prefix"),
  all: (button) => {
    // The second time counts, if it comes soon.
    if (button.dataset.sure) return tell("/purge?all");
    const text = button.textContent;
    button.dataset.sure = "1";
    button.textContent = "Really drop everything?";
    setTimeout(() => {
      delete button.dataset.sure;
      button.textContent = text;
    }, 5 * EVERY);
    return undefined;
  },
};

function drop(by) {
  const path = at("path").value.trim();
  if (!path.startsWith("/")) {
    put("done", "A path begins with /.");
    at("path").focus();
    return undefined;
  }
  return tell(`/purge?${query({ [by]: path })}`);
}

for (const button of document.querySelectorAll("button[data-act]")) {
  button.addEventListener("click", () => acts[button.dataset.act](button));
}
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", (event) => event.preventDefault());
}
at("token").addEventListener("submit", () => {
  token = at("secret").value;
  at("secret").value = "";
  look();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});
look();
