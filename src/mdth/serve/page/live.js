/** The live tab: the microphone or a text goes out, the avatar comes back, near the live edge. */

import { amounts } from "./amounts.js";
import { BASE } from "./api.js";
import { $, complain, Plain, show } from "./dom.js";
import { avatar } from "./face.js";
import { Peer } from "./peer.js";
import { Player } from "./player.js";
import { level, meter, openMicrophone, pcm16 } from "./sound.js";
import { number, t } from "./text.js";

const RATE_HZ = 16000;
// Speech begins when so many blocks in a row are loud, and is sent with those before them: about as
// much as the server hears ahead anyhow; it ends after so many quiet ones.
const BLOCK_S = 0.02;
const LOUD = 3;
const BEFORE = 5;
const QUIET = 30;
let webrtc = false;
let talk = null; // {line, player, microphone, state, typed, began_ms}; by WebRTC line and player are one

function send(message) {
  if (talk?.line?.isOpen) talk.line.send(message);
}

/** Tells speech from a room's noise, whose level it follows. */
class Speech {
  constructor(begin, sound, end) {
    Object.assign(this, { begin, sound, end, floor: 0.003, loud: 0, quiet: 0, on: false, before: [] });
  }

  hear(block) {
    const rms = level(block);
    const loud = rms > Math.max(0.008, 3 * this.floor);
    if (!loud) this.floor += 0.05 * (rms - this.floor);
    this.loud = loud ? this.loud + 1 : 0;
    this.quiet = loud ? 0 : this.quiet + 1;
    this.before.push(block);
    if (this.on) this.sound(block);
    else if (this.loud >= LOUD) {
      this.on = true;
      this.begin();
      this.before.forEach(this.sound);
    }
    if (this.before.length >= BEFORE + LOUD) this.before.shift();
    if (this.on && this.quiet >= QUIET) {
      this.on = false;
      this.before = [];
      this.end();
    }
    return rms;
  }
}

function interrupt() {
  send({ type: "interrupt" });
  if (talk) talk.typed = false;
}

/** What is spoken is sent; it interrupts a text, which otherwise would be said to its end first. */
function listen(mine) {
  const byTrack = mine.line.listen;
  const began = () => {
    if (mine.typed) interrupt();
    if (byTrack) send({ type: "speech" });
    mine.began_ms = performance.now() - 1000 * LOUD * BLOCK_S;
  };
  const speech = new Speech(began, (block) => byTrack || send(pcm16(block)), () => send({ type: "end_of_speech" }));
  return openMicrophone((block) => ($("live-level").value = meter(speech.hear(block))), RATE_HZ);
}

async function toggleMic() {
  complain("live", null);
  const mine = talk;
  if (mine.microphone) {
    mine.microphone.close();
    mine.microphone = null;
    mine.line.listen?.(null);
    send({ type: "end_of_speech" });
    return render();
  }
  const opening = (mine.microphone = { close: () => {} });
  render();
  try {
    const microphone = await listen(mine);
    if (mine.microphone !== opening || mine !== talk) return microphone.close();
    mine.microphone = microphone;
    mine.line.listen?.(microphone.track);
  } catch (problem) {
    mine.microphone = null;
    complain("live", problem);
  }
  render();
}

function say() {
  const text = $("live-text").value.trim();
  if (!text) return;
  send({ type: "text", text, voice: $("live-voice").querySelector("select").value || undefined });
  talk.typed = true;
  $("live-text").value = "";
}

function render() {
  const on = talk != null;
  show($("live-video"), on && talk.state !== "connecting" && talk.state !== "preparing");
  show($("live-empty"), $("live-video").hidden);
  show($("live-state"), on);
  if (on) $("live-state").textContent = t(`live.${talk.state}`);
  $("live-state").className = `badge ${talk?.state ?? ""}`;
  document.body.classList.toggle("living", on);
  show($("live-stop"), on);
  const able = Boolean(talk?.line?.isOpen);
  for (const id of ["live-mic", "live-say", "live-interrupt"]) $(id).disabled = !able;
  $("live-mic").classList.toggle("on", Boolean(talk?.microphone));
  $("live-mic-words").textContent = t(talk?.microphone ? "live.mic.off" : "live.mic");
  show($("live-level"), Boolean(talk?.microphone));
}

function enter(state) {
  talk.state = state;
  render();
}

/** How long after its first sound the frame is on the screen at which speech begins. */
function measure(time_s, onset_s) {
  const began_ms = talk.began_ms;
  if (began_ms == null) return;
  talk.began_ms = null;
  talk.player.at(time_s + onset_s, () => {
    const behind_s = (performance.now() - began_ms) / 1000;
    $("live-behind").dataset.s = behind_s;
    $("live-behind").textContent = t("live.behind", { n: number(behind_s, 1) });
  });
}

function hear(message) {
  if (message.type === "ready") {
    $("live-screen").style.aspectRatio = message.size.join("/");
    talk.player = talk.line.at ? talk.line : new Player($("live-video"), message.mime);
    enter("idle");
    toggleMic();
  } else if (message.type === "state") {
    if (message.state === "speaking") measure(message.time_s, message.onset_s ?? BEFORE * BLOCK_S);
    talk.player.quiet = message.state === "idle";
    enter(message.state);
  } else if (message.type === "error") complain("live", new Error(message.problem.detail));
}

/** A message of the call that is on; a fault of ours ends it. */
function take(line, data) {
  if (talk?.line !== line) return;
  try {
    if (data instanceof ArrayBuffer) talk.player.add(data);
    else hear(data);
  } catch (problem) {
    complain("live", problem);
    stop();
  }
}

function ended(line) {
  if (talk?.line !== line) return;
  if (!$("live-error").textContent) complain("live", new Plain("live.ended"));
  stop();
}

/** By WebRTC where the server and the network have it; by a WebSocket else. */
async function connect(id) {
  const mine = talk;
  if (webrtc && window.RTCPeerConnection) {
    const peer = new Peer($("live-video"), (message) => take(peer, message), () => ended(peer));
    try {
      mine.line = peer;
      return await peer.open(id, amounts());
    } catch {
      peer.close();
      if (talk !== mine) return;
    }
  }
  const address = new URL(`live?avatar=${id}`, BASE);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  const line = (mine.line = {
    get isOpen() {
      return socket.readyState === WebSocket.OPEN;
    },
    send: (message) => socket.send(message instanceof Int16Array ? message : JSON.stringify(message)),
    close: () => socket.close(),
  });
  socket.onopen = () => send({ type: "start", rate_hz: RATE_HZ, options: amounts() });
  socket.onmessage = ({ data }) => take(line, typeof data === "string" ? JSON.parse(data) : data);
  socket.onclose = () => ended(line);
}

async function start() {
  for (const place of ["live", "face", "consent"]) complain(place, null);
  if (!$("consent").checked) return complain("consent", new Plain("consent.missing"));
  const mine = (talk = { line: null, player: null, microphone: null, state: "preparing", typed: false });
  render();
  try {
    const id = await avatar();
    if (talk !== mine) return;
    enter("connecting");
    await connect(id);
  } catch (problem) {
    complain("face", problem);
    if (talk === mine) stop();
  }
}

export function stop() {
  const last = talk;
  talk = null;
  last?.microphone?.close();
  last?.line?.close();
  if (last?.player !== last?.line) last.player?.close();
  render();
}

export function startLive({ live, webrtc: byPeer, voices = [] }) {
  webrtc = byPeer;
  show($("live-off"), !live);
  $("live-start").disabled = !live;
  $("live-text").disabled = !voices.length;
  show($("live-voice"), voices.length > 0);
  $("live-start").onclick = start;
  $("live-stop").onclick = stop;
  $("live-mic").onclick = toggleMic;
  $("live-say").onclick = say;
  $("live-interrupt").onclick = interrupt;
  $("live-text").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    if (!$("live-say").disabled) say();
  };
  document.addEventListener("language", render);
  render();
}
