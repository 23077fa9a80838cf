/** A live call by WebRTC: its tracks in the video element, its messages in a data channel. */

import { call } from "./api.js";
import { Plain } from "./dom.js";

const OPEN_MS = 15000;
// Frames come every 40 ms, and the first one has time 0; of a stream nobody is told when that was.
const CLOCK_HZ = 90000;
const FRAME = 0.04 * CLOCK_HZ;

export class Peer {
  /** @param {(message: object) => void} hear what the server says; ended: it has gone */
  constructor(video, hear, ended) {
    Object.assign(this, { video, awaited: [], origin: null, peer: new RTCPeerConnection() });
    this.microphone = this.peer.addTransceiver("audio", { direction: "sendrecv" });
    this.peer.addTransceiver("video", { direction: "recvonly" });
    this.channel = this.peer.createDataChannel("events");
    this.channel.onmessage = ({ data }) => hear(JSON.parse(data));
    this.channel.onclose = ended;
    this.peer.onconnectionstatechange = () => this.peer.connectionState === "failed" && ended();
    this.peer.ontrack = ({ receiver, streams }) => {
      receiver.jitterBufferTarget = 0;
      if (video.srcObject === streams[0]) return;
      video.srcObject = streams[0];
      video.play().catch(() => {});
      this.watchFrames();
    };
  }

  /** Throws where the server or the network wants no such call. */
  async open(avatar, options) {
    await this.peer.setLocalDescription();
    const gathered = new Promise((done) => (this.peer.onicegatheringstatechange = () => this.peer.iceGatheringState === "complete" && done()));
    if (this.peer.iceGatheringState !== "complete") await gathered;
    const { type, sdp } = this.peer.localDescription;
    const body = JSON.stringify({ avatar, type, sdp, options });
    const answer = await call("live/webrtc", { method: "POST", body, headers: { "content-type": "application/json" } });
    const opened = new Promise((done, fail) => {
      this.channel.onopen = done;
      setTimeout(() => fail(new Plain("live.ended")), OPEN_MS);
    });
    await this.peer.setRemoteDescription(answer);
    await opened;
  }

  get isOpen() {
    return this.channel.readyState === "open";
  }

  send(message) {
    this.channel.send(JSON.stringify(message));
  }

  /** The microphone's track, null for none. */
  listen(track) {
    this.microphone.sender.replaceTrack(track);
  }

  /** Calls back when the frame of this time is on the screen. */
  at(time_s, then) {
    this.awaited.push({ time_s, then });
  }

  watchFrames() {
    this.video.requestVideoFrameCallback?.((_, { rtpTimestamp, presentedFrames }) => {
      this.origin ??= rtpTimestamp - (presentedFrames - 1) * FRAME;
      const shown_s = ((rtpTimestamp - this.origin + 2 ** 32) % 2 ** 32) / CLOCK_HZ;
      this.awaited = this.awaited.filter(({ time_s, then }) => shown_s < time_s - 0.001 || then());
      if (this.peer.connectionState !== "closed") this.watchFrames();
    });
  }

  close() {
    this.channel.onclose = null;
    this.peer.close();
    this.video.srcObject = null;
  }
}
