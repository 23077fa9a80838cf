/** The page's beginning: words, the server's options, the steps, and what the address asks for. */

import { startAmounts } from "./amounts.js";
import { call } from "./api.js";
import { startCompare } from "./compare.js";
import { $, complain, kindOf, make, show } from "./dom.js";
import { chooseFace, startFace } from "./face.js";
import { startHistory } from "./history.js";
import { leave, openJob, startJob } from "./job.js";
import { startLive, stop } from "./live.js";
import { language, LANGUAGES, speak, t, wanted } from "./text.js";
import { chooseVoice, startVoice } from "./voice.js";

/** `#talk_...` and `#dub_...` are jobs, `#live` is the live tab; anything else an empty stage. */
function route() {
  const asked = location.hash.slice(1);
  const tab = asked === "live" ? "live" : "make";
  document.body.dataset.tab = tab;
  for (const link of document.querySelectorAll("[data-tab]")) link.ariaCurrent = link.dataset.tab === tab ? "page" : null;
  if (tab === "make") stop();
  if (/^(talk|dub)_\w+$/.test(asked)) openJob(asked);
  else if (asked !== "main") leave();
}

/** A file dropped anywhere goes where it belongs: sound to the voice, pictures and clips to the face. */
function takeDrops() {
  const over = (event, on) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", on);
  };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, Boolean(event.relatedTarget)));
  document.addEventListener("drop", (event) => {
    over(event, false);
    const onVoice = event.target.closest?.("#voice-step");
    for (const file of event.dataTransfer.files) (onVoice || kindOf(file) === "sound" ? chooseVoice : chooseFace)(file);
  });
  document.addEventListener("paste", (event) => [...event.clipboardData.files].forEach(chooseFace));
}

/** The server's options; the page is shown, and not yet usable, when they take long. */
async function reached() {
  for (;;) {
    const options = await call("options").catch((problem) => complain("job", problem));
    for (const part of document.querySelectorAll("header, main, footer")) show(part);
    $("form").inert = !options;
    if (options) return options;
    await new Promise((done) => setTimeout(done, 2000));
  }
}

async function start() {
  document.body.dataset.tab = "make";
  await speak(wanted());
  const select = $("language");
  select.append(...Object.entries(LANGUAGES).map(([value, name]) => make("option", { value, textContent: name, lang: value })));
  select.value = language;
  select.onchange = () => {
    localStorage.setItem("language", select.value);
    speak(select.value);
  };
  const options = await reached();
  complain("job", null);
  startFace(options);
  startVoice(options);
  startAmounts(options);
  startJob();
  startCompare();
  startLive(options);
  startHistory();
  takeDrops();
  show($("leave"), options.owner !== "local");
  $("leave").onclick = () => call("session", { method: "DELETE" }).then(() => location.reload());
  $("version").textContent = `MDTH ${options.version}`;
  addEventListener("hashchange", route);
  route();
  document.body.dataset.ready = "yes";
}

start();
