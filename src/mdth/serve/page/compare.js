/** A dub beside its original, in step. */

import { $, show } from "./dom.js";

const APART_S = 0.04;
let source = null;

/** @param {string|false} address of the original, false where there is none */
export function offerCompare(address) {
  source = address;
  show($("compare"), Boolean(address));
}

function hearOriginal(on) {
  $("original").muted = !on;
  $("video").muted = on;
  $("compare-sound").ariaPressed = String(on);
}

function render(on) {
  $("compare").ariaPressed = String(on);
  for (const id of ["original-box", "video-caption", "compare-sound"]) show($(id), on);
  $("stage").classList.toggle("double", on);
  hearOriginal(false);
  shape();
}

/** The stage takes the shape of what it shows. */
export function shape() {
  const { videoWidth, videoHeight } = $("video");
  const { naturalWidth, naturalHeight } = $("stage-still");
  let ratio = (videoWidth / videoHeight) * ($("original-box").hidden ? 1 : 2);
  if ($("video-box").hidden) ratio = $("stage-still").hidden ? 0 : naturalWidth / naturalHeight;
  $("screen").style.aspectRatio = ratio || "";
}

export function closeCompare() {
  offerCompare(false);
  render(false);
}

/** The original follows the dub: a little faster or slower when near, with a jump when far. */
function follow() {
  const [lead, other] = [$("video"), $("original")];
  if ($("original-box").hidden || !other.duration) return;
  const behind = Math.min(lead.currentTime, other.duration) - other.currentTime;
  if (Math.abs(behind) > 0.3 || (lead.paused && Math.abs(behind) > APART_S)) other.currentTime = lead.currentTime;
  const nudge = Math.abs(behind) > APART_S / 2 ? Math.max(-0.25, Math.min(0.25, behind)) : 0;
  other.playbackRate = lead.playbackRate * (1 + nudge);
  if (lead.paused !== other.paused) lead.paused ? other.pause() : other.play().catch(() => {});
}

export function startCompare() {
  $("compare").onclick = () => {
    const on = $("original-box").hidden;
    if (on && $("original").src !== source) $("original").src = source;
    if (!on) $("original").pause();
    render(on);
    follow();
  };
  $("compare-sound").onclick = () => hearOriginal($("original").muted);
  for (const event of ["play", "pause", "seeked", "timeupdate", "ratechange"]) $("video").addEventListener(event, follow);
  $("original").addEventListener("loadeddata", follow);
}
