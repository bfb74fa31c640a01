"use strict"; // The page is complete without this. Here it follows what happens, filters, and tells ages.
const id = (name) => document.getElementById(name), all = (selector) => [...main.querySelectorAll(selector)];
const [main, live, now, filter, words, only] = ["main", "live", "now", "filter", "words", "only"].map(id);
let shown = main.innerHTML, timer = 0, busy = false, stream;
function ages() {
  for (const time of document.querySelectorAll("time")) {
    const s = (Date.now() - Date.parse(time.dateTime)) / 1000, n = Math.abs(s);
    const [size, unit] = n < 3570 ? [60, "min"] : n < 129600 ? [3600, "h"] : [86400, "d"];
    const span = `${Math.max(1, Math.round(n / size))} ${unit}`, text = n < 45 ? "just now" : s < 0 ? `in ${span}` : `${span} ago`;
    time.title ||= time.textContent;
    if (time.textContent !== text) time.textContent = text;
  }
}
function colour(details) {
  const code = details.open && details.querySelector(".diff code:not(:has(span))");
  if (code) code.replaceChildren(...code.textContent.trimEnd().split("\n").map((line) => Object.assign(document.createElement("span"), {
    className: /^(@@|\+\+\+ |--- )/.test(line) ? "hunk" : { "+": "add", "-": "del" }[line[0]] || "", textContent: `${line}\n`,
  })));
}
function sift() {
  const text = words.value.toLowerCase().trim(), rows = all("tr[data-name]");
  for (const row of rows) row.hidden = !row.dataset.name.includes(text) || (only.checked && !row.matches("[data-problem]"));
  for (const table of all(".apps")) table.hidden = !table.querySelector("tr[data-name]:not([hidden])");
  id("matches").textContent = text || only.checked ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown` : "";
}
function dress() {
  if (filter) sift();
  ages();
  all("details[open]").forEach(colour);
  for (const button of all(".copy")) {
    button.onclick = () => navigator.clipboard.writeText(button.previousElementSibling.textContent).then(() => { button.firstChild.data = "Copied"; });
    button.hidden = !navigator.clipboard;
  }
}
function tell(text) { if (live.textContent !== text) live.textContent = live.className = text; }
// Messages that come together are one refresh; a text that somebody selects is not taken away.
function soon(wait) { if (!document.hidden) timer ||= setTimeout(refresh, wait); }
async function refresh() {
  timer = 0;
  if (!getSelection().isCollapsed) tell("stands still while text is selected");
  if (busy || !getSelection().isCollapsed) return soon(2000);
  busy = true;
  try {
    const answer = await fetch(location.pathname + location.search);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html"), fresh = next.getElementById("main");
    if (answer.status === 401) return location.reload();
    if (!answer.ok || !fresh) throw answer.status;
    if (next.documentElement.dataset.version !== document.documentElement.dataset.version) return location.reload();
    document.title = next.title;
    now.dateTime = now.title = next.getElementById("now").dateTime;
    if (fresh.innerHTML !== shown) { shown = fresh.innerHTML; replace(fresh); }
    tell(stream.readyState === 1 ? "live" : "reconnecting");
  } catch { tell("reconnecting"); soon(5000); } finally { busy = false; }
}
function replace(fresh) {
  const open = new Map(all("details[id]").map((it) => [it.id, it.open])), at = [scrollX, scrollY], focus = document.activeElement;
  main.replaceChildren(...fresh.childNodes);
  for (const it of all("details[id]")) it.open = open.get(it.id) ?? it.open;
  dress();
  if (!focus.isConnected) (id(focus.id) ?? all("a").find((link) => link.href === focus.href))?.focus({ preventScroll: true });
  scrollTo(...at);
}
function listen() {
  stream?.close();
  if (document.hidden) return; // browsers open six connections to a host: only a tab that is looked at takes one
  stream = Object.assign(new EventSource("/api/stream"), { onmessage: () => soon(500), onopen: () => soon(0) });
  stream.onerror = () => { tell("reconnecting"); if (stream.readyState === 2) setTimeout(listen, 5000); };
}
if (filter) {
  const kept = new URLSearchParams(location.hash.slice(1));
  [words.value, only.checked, filter.hidden, filter.onsubmit] = [kept.get("q") ?? "", kept.has("problems"), false, () => false];
  filter.oninput = onhashchange = () => {
    history.replaceState(null, "", `#${new URLSearchParams({ q: words.value, ...(only.checked && { problems: 1 }) })}`);
    sift();
  };
}
addEventListener("toggle", (event) => colour(event.target), true);
document.onvisibilitychange = listen;
dress(); listen();
setInterval(() => { ages(); soon(0); }, 30000); // should the stream be dead unnoticed
