// A video element with the interface of Practice.

export class VideoPlayer {
  constructor(video, duration) {
    Object.assign(this, { video, duration });
  }

  get time() {
    return Math.min(this.video.currentTime, this.duration);
  }

  get ended() {
    return this.video.ended || this.video.currentTime >= this.duration;
  }

  play() {
    return this.video.play();
  }

  pause() {
    this.video.pause();
  }

  seek(time) {
    this.video.currentTime = Math.min(Math.max(time, 0), this.duration);
  }

  draw() {}
}
