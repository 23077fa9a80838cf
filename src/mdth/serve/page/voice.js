/** Step 2: a sound file, a recording or a text. */

import { check } from "./face.js";
import { $, clock, complain, kindOf, make, Plain, show, takesFiles } from "./dom.js";
import { meter, level, openMicrophone, wav } from "./sound.js";
import { t } from "./text.js";

const sounds = { file: null, record: null };
let recording = null;
let unavailable = null;

const kind = () => document.querySelector("[name=voice-kind]:checked").value;

/** Adds what is said to a form; throws Plain where nothing was chosen. */
export function addVoice(form) {
  if (recording) stop();
  const text = $("text").value.trim();
  const said = kind() === "text" ? text : sounds[kind()];
  if (!said) throw new Plain(`voice.missing.${kind()}`);
  if (kind() !== "text") return form.set("speech", said);
  form.set("text", said);
  if ($("voice-name").value) form.set("voice", $("voice-name").value);
}

function render() {
  for (const part of document.querySelectorAll("[data-voice]")) show(part, part.dataset.voice === kind());
  const sound = sounds[kind()];
  show($("voice-chosen"), Boolean(sound) && !recording);
  if (sound && $("voice-sound").file !== sound) {
    URL.revokeObjectURL($("voice-sound").src);
    Object.assign($("voice-sound"), { file: sound, src: URL.createObjectURL(sound), ariaLabel: sound.name });
  }
  $("voice-name-of").textContent = sound?.name ?? "";
  $("record").classList.toggle("on", Boolean(recording));
  $("record-words").textContent = recording ? t("voice.stop", { time: clock(recording.s) }) : t(sounds.record ? "voice.again" : "voice.start");
  show($("record-level"), Boolean(recording));
  $("text-unavailable").textContent = t("voice.unavailable", { why: unavailable });
}

export function chooseVoice(file) {
  complain("voice", null);
  try {
    check(file);
  } catch (problem) {
    return complain("voice", problem);
  }
  sounds.file = file;
  document.querySelector("[name=voice-kind][value=file]").checked = true;
  render();
}

async function record() {
  complain("voice", null);
  if (recording) return stop();
  const blocks = [];
  const hear = (block) => {
    if (!recording) return;
    blocks.push(block);
    recording.s += block.length / recording.rate_hz;
    $("record-level").value = meter(level(block));
    $("record-words").textContent = t("voice.stop", { time: clock(recording.s) });
  };
  try {
    recording = { s: 0, blocks, ...(await openMicrophone(hear)) };
  } catch (problem) {
    complain("voice", problem);
  }
  render();
}

function stop() {
  recording.close();
  sounds.record = recording.blocks.length ? wav(recording.blocks, recording.rate_hz) : null;
  recording = null;
  render();
}

function showVoices({ voices, text_unavailable, talk, limits }) {
  unavailable = text_unavailable ?? "";
  show($("text-unavailable"), !voices.length);
  for (const select of document.querySelectorAll("select.voices")) {
    select.replaceChildren(...voices.map(({ id, name }) => make("option", { value: id, textContent: name ?? id })));
    select.disabled = !voices.length;
    select.value = talk.properties.voice.default;
  }
  Object.assign($("text"), { disabled: !voices.length, maxLength: limits.text_letters });
}

export function startVoice(options) {
  showVoices(options);
  takesFiles($("voice-drop"), chooseVoice);
  $("record").onclick = record;
  for (const radio of document.querySelectorAll("[name=voice-kind]")) radio.onchange = render;
  document.addEventListener("language", render);
  render();
}
