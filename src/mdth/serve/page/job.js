/** The stage: a job from the button to the video that plays in place. */

import { amounts } from "./amounts.js";
import { BASE, call, ended, pathOf, send, watch } from "./api.js";
import { closeCompare, offerCompare, shape } from "./compare.js";
import { $, complain, Plain, show } from "./dom.js";
import { addFace, isDub, still } from "./face.js";
import { refresh } from "./history.js";
import { language, t } from "./text.js";
import { addVoice } from "./voice.js";

const PREVIEW_S = 3;
const PLACES = { source: "face", avatar: "face", speech: "voice", text: "voice", voice: "voice" };
const PARTS = ["stage-empty", "stage-still", "video-box", "progress-box", "done"];
let current = null;
let sending = null;

const url = (id, part) => new URL(`${pathOf(id)}/${part}`, BASE).href;

/** The three steps as a form; says at each what is missing, and gives null then. */
async function filled(preview) {
  const form = new FormData();
  const asked = {
    face: async () => form.set("options", JSON.stringify({ ...(await addFace(form)), ...amounts() })),
    voice: () => addVoice(form),
    consent: () => {
      if (!$("consent").checked) throw new Plain("consent.missing");
    },
  };
  let first = null;
  for (const [place, ask] of Object.entries(asked)) {
    complain(place, null);
    try {
      await ask();
    } catch (problem) {
      complain(place, problem);
      first ??= place;
    }
  }
  if (preview) form.set("seconds", PREVIEW_S);
  if (!first) return form;
  const card = $(`${first}-step`) ?? $("consent").parentElement;
  card.scrollIntoView({ block: "nearest" });
  card.querySelector("input, textarea, button").focus({ preventScroll: true });
  return null;
}

export async function makeVideo(preview) {
  if (sending) return;
  const form = await filled(preview);
  if (!form) return;
  if (current?.job?.preview) call(pathOf(current.id), { method: "DELETE" }).catch(() => {});
  leave();
  sending = new AbortController();
  renderProgress({ status: "uploading", progress: 0 });
  bring();
  try {
    const progress = (percent) => ($("progress").value = percent);
    const job = await send(isDub() ? "dubs" : "talks", form, { progress, signal: sending.signal });
    sending = null;
    location.hash = job.id;
    refresh();
  } catch (problem) {
    sending = null;
    parts("stage-empty");
    if (problem.name === "AbortError") return;
    complain(PLACES[problem.field] ?? "job", problem);
    if (PLACES[problem.field]) $(`${PLACES[problem.field]}-step`).scrollIntoView({ block: "nearest" });
  }
}

/** On a phone the stage is below the form. */
function bring() {
  if ($("stage").getBoundingClientRect().top > innerHeight / 2) $("stage").scrollIntoView();
}

function parts(...shown) {
  for (const id of PARTS) show($(id), shown.includes(id));
  shape();
}

/** Forgets the job on the stage; it goes on at the server. */
export function leave() {
  current?.stop();
  current = null;
  complain("job", null);
  $("stage-told").textContent = "";
  closeCompare();
  for (const video of [$("video"), $("original")]) {
    video.removeAttribute("src");
    video.load();
  }
  parts("stage-empty");
}

/** Puts a job on the stage and watches it. */
export function openJob(id) {
  if (current?.id === id) return;
  leave();
  current = { id, job: null, stop: () => {} };
  renderProgress({ status: "queued", progress: 0 });
  bring();
  current.stop = watch(id, (job, problem) => {
    if (current?.id !== id) return;
    const before = current.job?.status;
    current.job = job ?? current.job;
    if (problem) lost(problem);
    else if (!job) renderProgress({ ...current.job, status: "lost" });
    else render(job, before);
  });
}

function lost(problem) {
  parts("stage-empty");
  complain("job", problem.status === 404 ? new Plain("error.gone") : problem);
}

function left(seconds) {
  if (seconds == null) return "";
  const n = seconds > 10 ? Math.ceil(seconds / 5) * 5 : Math.max(1, Math.ceil(seconds));
  return n < 90 ? t("left.s", { n }) : t("left.min", { n: Math.round(n / 60) });
}

function say(words) {
  if ($("stage-told").textContent !== words) $("stage-told").textContent = words;
}

function renderProgress({ preview, status, progress, seconds_left }) {
  const picture = still();
  parts("progress-box", picture ? "stage-still" : "stage-empty");
  if (picture) $("stage-still").src = picture;
  const words = t(`status.${status === "in_progress" && preview ? "preview" : status}`);
  $("progress-words").textContent = words;
  $("progress-left").textContent = left(seconds_left);
  if (progress != null) $("progress").value = progress;
  $("progress").classList.toggle("waiting", status === "queued" || status === "lost");
  say(words);
}

function render(job, before) {
  if (!ended(job)) return renderProgress(job);
  refresh();
  if (job.status === "completed") return renderDone(job, Boolean(before));
  parts("stage-empty");
  const failed = job.error && new Error(job.error.detail ?? job.error.title);
  complain("job", job.status === "failed" ? failed ?? new Plain("status.failed") : null);
  say(t(`status.${job.status}`));
}

/** @param {boolean} watched whether it was seen in the making: then it plays at once */
function renderDone(job, watched) {
  parts("video-box", "done");
  const video = $("video");
  if (video.src !== url(job.id, "content")) {
    video.poster = url(job.id, "thumbnail");
    video.src = url(job.id, "content");
    if (watched) video.play().catch(() => {}); // a browser may want a click first
  }
  const until = job.expires_at && new Date(job.expires_at).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
  $("done-name").textContent = job.name || t("untitled");
  $("done-hint").textContent = job.preview ? t("preview.hint") : until ? t("expires", { time: until }) : "";
  $("download").href = `${url(job.id, "content")}?download=1`;
  $("share-told").textContent = "";
  offerCompare(job.object === "dub" && url(job.id, "source"));
  say(t("status.completed"));
}

async function cancel() {
  if (sending) return sending.abort();
  try {
    await call(pathOf(current.id), { method: "DELETE" });
  } catch (problem) {
    complain("job", problem);
  }
}

async function share() {
  const link = new URL(`#${current.id}`, document.baseURI).href;
  const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
  $("share-told").textContent = copied ? t("share.done") : t("share.by_hand", { link });
}

export function startJob() {
  $("form").onsubmit = (event) => {
    event.preventDefault();
    makeVideo(false);
  };
  $("preview").onclick = () => makeVideo(true);
  $("cancel").onclick = cancel;
  $("share").onclick = share;
  $("stage-still").onload = $("video").onloadedmetadata = shape;
  $("consent").onchange = () => complain("consent", null);
  addEventListener("beforeunload", (event) => sending && event.preventDefault());
  document.addEventListener("language", () => current?.job && render(current.job));
}
