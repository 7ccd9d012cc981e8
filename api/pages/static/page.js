// What the pages do beside showing: stay up to date, follow output, listen to keys. Everything that
// changes something is a form, and works without this file.
"use strict";

const EVERY_MS = 2000;
const PIECES_MAX = 24; // of at most 64 KiB of output each
const LINES_MAX = 5000;

const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// ------------------------------------------------------------------------------------ the server

let failedSince = 0;

function say(text, link) {
  const box = find("#away");
  if (!box || box.dataset.said === text) return;
  box.dataset.said = text;
  box.textContent = text;
  if (link) {
    const a = document.createElement("a");
    a.href = link;
    a.textContent = "Sign in";
    box.append(" ", a);
  }
  box.classList.toggle("on", text !== "");
}

function answered(response) {
  if (response.status === 401) {
    const here = location.pathname + location.search;
    say("You are not signed in any more.", "/sign-in?next=" + encodeURIComponent(here) + "&because=invalid_token");
    return false;
  }
  if (!response.ok && response.status !== 404) {
    failedSince ||= Date.now();
    say("The ledger does not answer at the moment. This page shows what it last knew, and tries again.");
    return false;
  }
  if (failedSince) follow();
  failedSince = 0;
  say("");
  return response.ok;
}

async function ask(address) {
  try {
    const response = await fetch(address, { headers: { "HX-Request": "true" }, cache: "no-store" });
    return answered(response) ? response : null;
  } catch {
    failedSince ||= Date.now();
    say("The server cannot be reached. This page shows what it last knew, and tries again.");
    return null;
  }
}

// ------------------------------------------------------------------------------- staying up to date

async function refresh(part) {
  const rows = part.tagName === "TABLE";
  const address = new URL(part.dataset.live, location.href);
  if (part.dataset.after) address.searchParams.set("after", part.dataset.after);
  const response = await ask(address);
  if (!response || !part.isConnected) return;
  const position = response.headers.get("Page-Position");
  if (response.headers.get("Page-Stale")) return catchUp(part);
  const text = response.status === 204 ? "" : await response.text();
  if (position) part.dataset.after = position;
  if (!text) return;
  if (rows) merge(part, text);
  else replace(part, text);
}

function parsed(text) {
  const box = document.createElement("template");
  box.innerHTML = text; // from our own server, which escapes what is not its own
  return box.content;
}

function replace(part, text) {
  const held = window.getSelection();
  const isRead = held && !held.isCollapsed && part.contains(held.anchorNode);
  if (part.dataset.text === text || isRead) return;
  part.dataset.text = text;
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const again = focused && (focused.id ? "#" + CSS.escape(focused.id) : focused.href && `a[href="${CSS.escape(focused.getAttribute("href"))}"]`);
  const shut = all("details[id]", part).filter((one) => !one.open).map((one) => one.id);
  const open = all("details[id]", part).filter((one) => one.open).map((one) => one.id);
  const content = parsed(text);
  const pieces = [...content.children].filter((piece) => piece.dataset.piece !== undefined);
  for (const piece of pieces) document.getElementById(piece.id)?.replaceWith(piece);
  if (!pieces.length) part.replaceChildren(content);
  for (const id of shut) document.getElementById(id)?.removeAttribute("open");
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (again) find(again, part)?.focus({ preventScroll: true });
  if (selected && !selected.isConnected) select(document.getElementById(selected.id));
}

const waiting = new Map();

function merge(table, text) {
  const body = find("tbody", table);
  for (const row of all("tr", parsed(text))) {
    const shown = document.getElementById(row.id);
    if (shown) {
      if (Number(row.dataset.at) < Number(shown.dataset.at)) continue;
      row.className = shown.className.includes("picked") ? "picked" : "changed";
      const focused = shown.contains(document.activeElement);
      shown.replaceWith(row);
      if (focused) find("a", row)?.focus({ preventScroll: true });
      if (selected === shown) selected = row;
      htmx.process(row);
    } else if (!("stranger" in row.dataset) && !("old" in table.dataset)) {
      waiting.set(row.id, row);
    }
  }
  // Nothing moves under a hand or an eye: new rows wait until they are wanted, or nobody looks.
  const busy = scrollY > 40 || selected || body.matches(":hover") || body.contains(document.activeElement);
  if (busy) offer();
  else insert();
}

function offer() {
  const button = find("#newer");
  if (!button) return;
  button.hidden = waiting.size === 0;
  button.textContent = `${waiting.size} new`;
}

function insert() {
  const body = find("#rows");
  if (!body) return;
  for (const row of [...waiting.values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    // Most are the newest; one that was told of late stands where it happened.
    const next = all("tr[id]", body).find((one) => one.id < row.id);
    row.className = "changed";
    if (next) next.before(row);
    else body.prepend(row);
    htmx.process(row);
  }
  if (waiting.size) {
    find("#list .empty")?.remove();
    const count = find("#count");
    const known = count?.textContent.match(/^([\d,]+) executions?(.*)$/);
    if (known) count.textContent = `${(Number(known[1].replaceAll(",", "")) + waiting.size).toLocaleString("en")} executions${known[2]}`;
  }
  waiting.clear();
  offer();
}

async function catchUp(table) {
  // Too much has happened: the newest page is read anew, and the rest is left as it is.
  const list = find("#list");
  if (!list || table.tagName !== "TABLE") return;
  const response = await ask(new URL(list.dataset.address, location.href));
  if (!response) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = find("table.runs", page);
  if (!fresh) return;
  table.dataset.after = fresh.dataset.after;
  merge(table, all("tr[id]", fresh).map((row) => row.outerHTML).join(""));
}

const due = new WeakMap();

async function look() {
  if (!document.hidden) {
    for (const part of all("[data-live]")) {
      if (!failedSince && Date.now() < (due.get(part) ?? 0)) continue;
      due.set(part, Date.now() + 1000 * (part.dataset.every ?? 0));
      await refresh(part);
      // Who is away need not be asked for each part.
      if (failedSince) break;
    }
  }
  setTimeout(look, EVERY_MS);
}

function tick() {
  for (const cell of all("[data-since]")) {
    const seconds = Math.max(0, (Date.now() - Date.parse(cell.dataset.since)) / 1000);
    const [m, h] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
    const two = (n) => String(Math.floor(n)).padStart(2, "0");
    cell.textContent = h ? `${h} h ${two(m % 60)} min` : m ? `${m} min ${two(seconds % 60)} s` : `${Math.floor(seconds)} s`;
  }
}

// ------------------------------------------------------------------------------------- live output

let source = null;
let place = "";

function follow() {
  const logs = find("#logs[data-follow]");
  if (!logs || (source && source.readyState !== EventSource.CLOSED)) return;
  place ||= logs.dataset.from;
  source = new EventSource(logs.dataset.follow + "?from=" + place);
  source.addEventListener("output", (event) => {
    const said = JSON.parse(event.data);
    place = event.lastEventId;
    add(said.stream, said.html);
  });
  source.addEventListener("omitted", (event) => {
    const said = JSON.parse(event.data);
    place = event.lastEventId;
    add(said.stream, `\n[… ${said.to - said.from} bytes were not kept …]\n`);
  });
  source.addEventListener("end", async (event) => {
    const said = JSON.parse(event.data);
    source.close();
    source = null;
    delete logs.dataset.follow;
    for (const stream of ["stdout", "stderr"]) if (said[stream]) add(stream, said[stream]);
    for (const note of all("[data-empty]", logs)) note.textContent = "It wrote nothing here.";
    const state = find("[data-live]");
    if (state) {
      state.dataset.after = "0";
      await refresh(state);
    }
  });
  source.addEventListener("error", () => {
    // The browser tries again by itself, unless the server has said no: then the next look does.
    if (source?.readyState === EventSource.CLOSED) {
      source = null;
      failedSince ||= Date.now();
    }
  });
}

function add(stream, html) {
  const screen = find("#log-" + stream);
  const atEnd = screen.scrollHeight - screen.scrollTop - screen.clientHeight < 40;
  const piece = document.createElement("span");
  piece.append(parsed(html));
  piece.dataset.lines = html.split("\n").length;
  screen.append(piece);
  const section = screen.closest("section");
  section.hidden = false;
  find("[data-empty]", section)?.remove();
  let lines = [...screen.children].reduce((sum, one) => sum + Number(one.dataset.lines || 0), 0);
  while (screen.childNodes.length > 1 && (screen.childNodes.length > PIECES_MAX * 8 || lines > LINES_MAX)) {
    lines -= Number(screen.firstChild.dataset?.lines || 0);
    screen.firstChild.remove();
    find("[data-note]", section).textContent = "only the last part is shown here";
  }
  if (atEnd) screen.scrollTop = screen.scrollHeight;
}

// --------------------------------------------------------------------------------------------- keys

let selected = null;

function select(row) {
  selected?.classList.remove("picked");
  selected = row;
  if (!row) return;
  row.classList.add("picked");
  find("a", row)?.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const rows = all("tbody tr[id], [data-row]");
  if (!rows.length) return;
  const at = rows.indexOf(selected);
  select(rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))]);
}

function opens(id) {
  const dialog = document.getElementById(id);
  if (!dialog?.showModal) return false;
  dialog.showModal();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (find("dialog[open]")) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape") {
    if (typing) typing.blur();
    select(null);
    document.activeElement?.blur();
    return;
  }
  if (typing) return;
  if (event.key === "/") {
    const search = find("#q");
    if (!search) location.assign("/");
    search?.focus();
    search?.select();
  } else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "Enter" && selected && !event.target.closest("a, button")) find("a", selected)?.click();
  else if (event.key === "r") {
    const button = find("[data-key=r]");
    if (button) button.click();
    else if (selected && "retry" in selected.dataset && "operate" in document.body.dataset) location.assign(`/executions/${selected.id}/retry`);
    else return;
  } else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener && opens(opener.dataset.opens)) event.preventDefault();
  const closer = event.target.closest("dialog [data-close]");
  if (closer) {
    closer.closest("dialog").close();
    event.preventDefault();
  }
  const goes = event.target.closest("[data-go]");
  if (goes) location.assign(goes.dataset.go);
  if (event.target.id === "newer") {
    insert();
    scrollTo({ top: 0 });
  }
});

// A form is sent once, however often it is clicked.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if ("sent" in event.target.dataset) event.preventDefault();
  event.target.dataset.sent = "";
});
addEventListener("pageshow", () => all("form[data-sent]").forEach((one) => delete one.dataset.sent));

// ------------------------------------------------------------------------------------------- begin

find("form[data-send]")?.requestSubmit();
document.addEventListener("mouseover", (event) => {
  const time = event.target.closest("time");
  const moment = time && new Date(time.dateTime || time.textContent.replace(" ", "T") + "Z");
  if (moment && !time.title && !isNaN(moment)) time.title = moment.toLocaleString() + " where you are";
});
for (const screen of all(".screen")) screen.scrollTop = screen.scrollHeight;
if (window.htmx) {
  document.body.addEventListener("htmx:sendError", () => ask("/live?after=0"));
  document.body.addEventListener("htmx:responseError", (event) => answered({ ok: false, status: event.detail.xhr.status }));
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "list") {
      waiting.clear();
      select(null);
      offer();
    }
  });
  addEventListener("scroll", () => scrollY < 40 && waiting.size && !selected && insert(), { passive: true });
  if (find("[data-live]")) setTimeout(look, EVERY_MS);
  setInterval(tick, 1000);
  follow();
}
