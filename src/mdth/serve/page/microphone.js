/** An AudioWorklet: the microphone's sound, mono, at `rate_hz`, in blocks; linear between samples. */

class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate_hz, block } }) {
    super();
    this.step = sampleRate / rate_hz;
    this.size = block;
    this.block = new Float32Array(block);
    this.count = this.at = this.last = 0;
  }

  process([[sound]]) {
    if (!sound) return true;
    for (; this.at < sound.length; this.at += this.step) {
      const index = Math.floor(this.at);
      const before = index ? sound[index - 1] : this.last;
      this.block[this.count++] = before + (sound[index] - before) * (this.at - index);
      if (this.count === this.size) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(this.size);
        this.count = 0;
      }
    }
    this.at -= sound.length;
    this.last = sound[sound.length - 1];
    return true;
  }
}

registerProcessor("microphone", Microphone);
