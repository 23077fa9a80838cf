/** One's own jobs, newest first, with thumbnails. */

import { BASE, call, ended, pathOf } from "./api.js";
import { $, clock, complain, make, show } from "./dom.js";
import { language, percent, t } from "./text.js";

const KINDS = ["talks", "dubs"];
const PAGE = 12;
const AGAIN_MS = 2000;
let shown = PAGE;
let timer = 0;
let jobs = [];

const listed = (job) => job.status !== "cancelled" && !job.preview;

async function list(kind) {
  const { data, has_more } = await call(`${kind}?limit=${Math.min(shown, 100)}`);
  return { data, has_more };
}

/** Asks the server for them; again after a while as long as one is in the making. */
export async function refresh() {
  clearTimeout(timer);
  try {
    const lists = await Promise.all(KINDS.map(list));
    jobs = lists.flatMap(({ data }) => data).filter(listed);
    jobs.sort((one, other) => other.created_at.localeCompare(one.created_at));
    show($("more"), jobs.length > shown || lists.some(({ has_more }) => has_more));
    jobs.length = Math.min(jobs.length, shown);
    render();
  } catch (problem) {
    if (problem.status >= 400) complain("job", problem);
  }
  if (jobs.some((job) => !ended(job))) timer = setTimeout(refresh, AGAIN_MS);
}

async function remove(job) {
  if (!confirm(t("remove.sure", { name: job.name || t("untitled") }))) return;
  try {
    await call(pathOf(job.id), { method: "DELETE" });
    if (location.hash === `#${job.id}`) location.hash = "";
  } catch (problem) {
    complain("job", problem);
  }
  refresh();
}

function state(job) {
  if (job.status === "completed") return job.duration_s ? clock(job.duration_s) : "";
  if (job.status === "in_progress") return percent(job.progress / 100);
  return t(`status.${job.status}`);
}

function entry(job) {
  const name = job.name || t("untitled");
  const when = new Date(job.created_at).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
  const view = make("span", { className: "thumb" });
  if (job.thumbnail_url) view.append(make("img", { src: new URL(`${pathOf(job.id)}/thumbnail`, BASE), alt: "", loading: "lazy" }));
  view.append(make("span", { className: `badge ${job.status}`, textContent: state(job) }));
  const link = make("a", { href: `#${job.id}` }, view, make("span", { className: "name", textContent: name }), make("small", { textContent: when }));
  if (location.hash === link.hash) link.ariaCurrent = "true";
  const gone = make("button", { type: "button", className: "remove", textContent: "×", ariaLabel: t("remove", { name }) });
  gone.onclick = () => remove(job);
  return make("li", { data: { id: job.id } }, link, gone);
}

function render() {
  show($("history"), jobs.length > 0);
  const focused = document.activeElement.closest?.("#jobs li")?.dataset.id;
  $("jobs").replaceChildren(...jobs.map(entry));
  if (focused) $("jobs").querySelector(`[data-id="${focused}"] a`)?.focus();
}

export function startHistory() {
  $("more").onclick = () => {
    shown += PAGE;
    refresh();
  };
  addEventListener("hashchange", render);
  document.addEventListener("language", render);
  refresh();
}
