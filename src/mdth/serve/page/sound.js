/** The microphone, and sound as PCM. */

import { Plain } from "./dom.js";

const BLOCK_S = 0.02;

/**
 * Opens the microphone and gives its sound in blocks of 20 ms.
 * @param {(block: Float32Array) => void} hear mono
 * @param {number} [rate_hz] the microphone's own unless told
 */
export async function openMicrophone(hear, rate_hz) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Plain("mic.insecure");
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch(() => {
    throw new Plain("mic.refused");
  });
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL("microphone.js", import.meta.url));
  const rate = rate_hz ?? context.sampleRate;
  let node = context.createMediaStreamSource(stream);
  for (let filters = rate < context.sampleRate ? 2 : 0; filters; filters--) {
    node = node.connect(new BiquadFilterNode(context, { type: "lowpass", frequency: 0.44 * rate }));
  }
  const processorOptions = { rate_hz: rate, block: Math.round(BLOCK_S * rate) };
  const worklet = new AudioWorkletNode(context, "microphone", { processorOptions });
  worklet.port.onmessage = (event) => hear(event.data);
  node.connect(worklet).connect(context.destination); // silent; some browsers run only what is connected
  await context.resume();
  return {
    rate_hz: rate,
    track: stream.getAudioTracks()[0],
    close() {
      worklet.port.onmessage = null;
      for (const track of stream.getTracks()) track.stop();
      context.close();
    },
  };
}

/** Root mean square of a block, 0 to 1. */
export const level = (block) => Math.sqrt(block.reduce((sum, one) => sum + one * one, 0) / block.length);

/** For a meter: -60 dB is 0, 0 dB is 1. */
export const meter = (rms) => Math.max(0, 1 + Math.log10(rms + 1e-6) / 3);

/** @returns {Int16Array} */
export const pcm16 = (block) => Int16Array.from(block, (one) => Math.max(-1, Math.min(1, one)) * 32767);

/** A WAV file of blocks. */
export function wav(blocks, rate_hz) {
  const bytes = blocks.reduce((sum, block) => sum + 2 * block.length, 0);
  const head = new DataView(new ArrayBuffer(44));
  const words = (at, text) => [...text].forEach((one, index) => head.setUint8(at + index, one.charCodeAt(0)));
  words(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  words(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate_hz, true);
  head.setUint32(28, 2 * rate_hz, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  words(36, "data");
  head.setUint32(40, bytes, true);
  return new File([head, ...blocks.map(pcm16)], "recording.wav", { type: "audio/wav" });
}
