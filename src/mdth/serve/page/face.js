/** Step 1: a picture or a clip, and which of its faces. */

import { BASE, call, send } from "./api.js";
import { $, complain, kindOf, make, Plain, show, takesFiles } from "./dom.js";
import { t } from "./text.js";

const LIVE_PX = 512;
const face = { file: null, clip: false, faces: [], size: [0, 0], looked: null, avatar: null };
let limits = {};
let told = () => "";

const chosen = () => Number(document.querySelector("[name=face]:checked")?.value ?? 1);
export const isDub = () => face.clip && document.querySelector("[name=mode]:checked").value === "dub";
export const still = () => $("faces").querySelector("img")?.src;

/** Throws what is wrong with a file before it is sent. */
export function check(file) {
  const most = limits.upload_bytes ?? Infinity;
  if (file.size <= most) return;
  const mb = (bytes) => (bytes / 1e6).toFixed(1);
  throw new Plain("error.large", { name: file.name, size: mb(file.size), limit: mb(most) });
}

/** The choices of who speaks, by the options' names. */
function choices() {
  if (face.faces.length < 2) return {};
  if (!isDub()) return { face: chosen() };
  const [x, y, width, height] = face.faces[chosen() - 1].box;
  const point = [(x + width / 2) * face.size[0], (y + height / 2) * face.size[1]];
  return { point: point.map(Math.round).join(",") };
}

/** Adds who speaks to a form; throws Plain where nobody was chosen. */
export async function addFace(form) {
  if (!face.file) throw new Plain("face.missing");
  await face.looked;
  if (!face.faces) throw new Plain("face.none");
  form.set("source", face.file);
  return choices();
}

function hint(words) {
  told = words;
  $("face-hint").textContent = words();
}

/** A still of the file while the server looks: the browser's own. */
function showFile(file) {
  const url = URL.createObjectURL(file);
  const view = face.clip ? make("video", { src: url, muted: true, playsInline: true }) : make("img", { src: url, alt: "" });
  view.onerror = () => view.remove();
  $("faces").querySelectorAll("img, video, label").forEach((node) => node.remove());
  $("faces").append(view);
  $("face-name").textContent = file.name;
  show($("face-drop"), false);
  show($("camera-open"), false);
  show($("face-chosen"));
  show($("mode"), face.clip);
}

function showFaces({ faces, picture }) {
  const box = $("faces");
  if (picture) {
    box.querySelector("img, video")?.remove();
    box.append(make("img", { src: picture, alt: "" }));
  }
  const sizes = faces.map(({ box: [, , width, height] }) => width * height);
  const largest = sizes.indexOf(Math.max(...sizes));
  faces.forEach(({ box: [x, y, width, height] }, index) => {
    const radio = make("input", { type: "radio", name: "face", value: index + 1, checked: index === largest });
    radio.ariaLabel = t("face.number", { n: index + 1 });
    const label = make("label", { className: "box" }, radio, make("span", { textContent: index + 1 }));
    Object.entries({ left: x, top: y, width, height }).forEach(([side, part]) => (label.style[side] = `${100 * part}%`));
    label.classList.toggle("alone", faces.length === 1);
    box.append(label);
  });
  hint(() => (faces.length > 1 ? t("face.several", { n: faces.length }) : t("face.one")));
}

async function look(file) {
  hint(() => t("face.looking"));
  const form = new FormData();
  form.set("source", file);
  try {
    const found = await send("faces", form);
    if (file !== face.file) return;
    found.faces.sort((one, other) => one.box[0] - other.box[0]);
    face.size = [found.width, found.height];
    face.faces = found.faces.length ? found.faces : null;
    if (!face.faces) throw new Plain("face.none");
    showFaces(found);
  } catch (problem) {
    if (file !== face.file) return;
    face.faces = null;
    hint(() => "");
    complain("face", problem);
  }
}

export function chooseFace(file) {
  complain("face", null);
  try {
    if (!["picture", "clip"].includes(kindOf(file))) throw new Plain("face.unknown", { name: file.name });
    check(file);
  } catch (problem) {
    return complain("face", problem);
  }
  forgetAvatar();
  Object.assign(face, { file, clip: kindOf(file) === "clip", faces: [] });
  document.dispatchEvent(new Event("kind"));
  showFile(file);
  face.looked = look(file);
}

/** Takes back what `avatar` made; avatars stay on the server for ever else. */
function forgetAvatar() {
  if (face.avatar) fetch(new URL(`avatars/${face.avatar.id}`, BASE), { method: "DELETE", keepalive: true }).catch(() => {});
  face.avatar = null;
}

/** The id of an avatar of what was chosen, made once. */
export async function avatar() {
  const form = new FormData();
  const kept = isDub() ? { keep: "clip" } : {};
  const wanted = JSON.stringify({ ...(await addFace(form)), ...kept, max_size: LIVE_PX });
  form.set("options", wanted);
  if (face.avatar?.wanted !== wanted) {
    forgetAvatar();
    face.avatar = { wanted, id: (await send("avatars", form)).id };
  }
  for (;;) {
    const now = await call(`avatars/${face.avatar.id}`);
    if (now.status === "completed") return now.id;
    if (now.status === "failed") {
      face.avatar = null;
      throw new Error(now.error.detail);
    }
    await new Promise((done) => setTimeout(done, 500));
  }
}

async function openCamera() {
  complain("face", null);
  try {
    if (!navigator.mediaDevices) throw new Plain("mic.insecure");
    const video = { width: { ideal: 1280 }, facingMode: "user" };
    $("camera-video").srcObject = await navigator.mediaDevices.getUserMedia({ video }).catch(() => {
      throw new Plain("camera.refused");
    });
    $("camera").showModal();
  } catch (problem) {
    complain("face", problem);
  }
}

function takePicture() {
  const video = $("camera-video");
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => chooseFace(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  $("camera").close();
}

export function startFace(options) {
  limits = options.limits ?? {};
  takesFiles($("face-drop"), chooseFace);
  $("face-change").onclick = () => $("face-file").click();
  $("camera-open").onclick = openCamera;
  $("camera-take").onclick = takePicture;
  $("camera-close").onclick = () => $("camera").close();
  $("camera").onclose = () => $("camera-video").srcObject.getTracks().forEach((track) => track.stop());
  for (const radio of document.querySelectorAll("[name=mode]")) radio.onchange = () => document.dispatchEvent(new Event("kind"));
  addEventListener("pagehide", forgetAvatar);
  document.addEventListener("language", () => hint(told));
}
