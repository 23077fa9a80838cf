/** Fragmented MP4 as it comes, played near its live edge (Media Source Extensions). */

import { Plain } from "./dom.js";

// Behind the newest frame, s: where a jump ends; what is caught up by playing up to so much faster;
// what takes a jump, while there is something to hear and while there is nothing.
const NEAR_S = 0.1;
const SLOW_S = 0.18;
const FASTER = 0.2;
const FAR_S = { heard: 1, quiet: 0.3 };
const KEPT_S = 10;
const CHECK_MS = 100;

export class Player {
  /** @param {string} mime with codecs. Throws Plain where the browser cannot play it. */
  constructor(video, mime) {
    const Source = window.MediaSource ?? window.ManagedMediaSource; // an iPhone has the second alone
    if (!Source?.isTypeSupported(mime)) throw new Plain("live.unplayable");
    Object.assign(this, { video, waiting: [], awaited: [], buffer: null, quiet: true });
    this.source = new Source();
    this.source.addEventListener("sourceopen", () => {
      this.buffer ??= this.source.addSourceBuffer(mime);
      this.buffer.onupdateend = () => this.pump();
      this.pump();
    }, { once: true });
    video.disableRemotePlayback = true;
    video.src = URL.createObjectURL(this.source);
    this.timer = setInterval(() => this.keepNear(), CHECK_MS);
    this.watchFrames();
  }

  add(data) {
    this.waiting.push(data);
    this.pump();
  }

  /** Calls back when the frame of this time is on the screen. */
  at(time_s, then) {
    this.awaited.push({ time_s, then });
  }

  watchFrames() {
    this.video.requestVideoFrameCallback?.((_, { mediaTime }) => {
      this.awaited = this.awaited.filter(({ time_s, then }) => mediaTime < time_s - 0.001 || then());
      if (this.timer) this.watchFrames();
    });
  }

  pump() {
    if (!this.buffer || this.buffer.updating || this.source.readyState !== "open") return;
    const { buffered } = this.buffer;
    const old = this.video.currentTime - KEPT_S;
    if (buffered.length && buffered.start(0) < old - KEPT_S) this.buffer.remove(0, old);
    else if (this.waiting.length) this.buffer.appendBuffer(this.waiting.shift());
  }

  keepNear() {
    const { video } = this;
    const { buffered } = video;
    if (!buffered.length) return;
    const edge = buffered.end(buffered.length - 1);
    const behind = edge - video.currentTime;
    if (behind > FAR_S[this.quiet ? "quiet" : "heard"] || video.currentTime < buffered.start(buffered.length - 1)) video.currentTime = edge - NEAR_S;
    video.playbackRate = 1 + Math.max(0, Math.min(FASTER, behind - SLOW_S));
    if (video.paused) video.play().catch(() => {});
  }

  close() {
    clearInterval(this.timer);
    this.timer = 0;
    URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.video.load();
  }
}
