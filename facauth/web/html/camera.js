// A camera: opening and closing it, its advice, pictures, and frames with their times.

const PREVIEW_MS = 600; // between two previews
const BUSY_MS = 5000; // before the next preview where the server gave none
const FRAME_MS = 125; // between two frames
const MAX_FRAMES = 80;
const MAX_FRAME_BYTES = 300 * 1024; // more is refused
const MEAN_FRAME_BYTES = 95_000; // 80 of them stay below the limit of all frames
const FRAME_PX = { width: 640, height: 960 }; // at most
const QUALITY = { preview: 0.8, frame: 0.8, small: 0.6, photo: 0.95 }; // of a JPEG

const TROUBLE = {
  NotAllowedError: "The camera is not allowed. Allow it in the browser’s settings for this page.",
  NotFoundError: "There is no camera on this device.",
  NotReadableError: "Another program uses the camera. Close it and try again.",
};
const OTHER_TROUBLE = "The camera does not work.";
const INSECURE = "Browsers allow the camera on https pages only.";
const GONE = "The camera was disconnected.";

// What to do about a face that is not in the oval. The picture is a mirror; left and right are the
// person's own.
const MOVE = {
  far: "Come nearer.",
  near: "Move back a little.",
  left: "Move a little to your left.",
  right: "Move a little to your right.",
  high: "Move down a little.",
  low: "Move up a little.",
};
const FACES = {
  "face.none": "Put your face into the oval.",
  "face.several": "Only one person, please.",
};

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const stop = (stream) => stream.getTracks().forEach((track) => track.stop());
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

export class Camera {
  // onGone: called with what to say when the camera ends by itself.
  constructor(video, onGone) {
    this.video = video;
    this.onGone = onGone;
    this.stream = null;
    this.turn = 0; // counts opening and closing: the browser's question for the camera may take long
  }

  // Whether the camera is open now; false if it was closed meanwhile. Throws what to say.
  async open() {
    if (!navigator.mediaDevices) throw new Error(INSECURE);
    this.close();
    const turn = this.turn;
    try {
      const video = { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 960 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video });
      if (this.turn !== turn) {
        stop(stream);
        return false;
      }
      this.video.srcObject = this.stream = stream;
      stream.getVideoTracks()[0].onended = () => this.gone(stream);
      await this.video.play();
      const { videoWidth: width, videoHeight: height } = this.video;
      this.video.parentElement.style.aspectRatio = `${width} / ${height}`;
    } catch (error) {
      if (this.turn !== turn) return false; // closed meanwhile, or opened again
      this.close();
      throw new Error(TROUBLE[error.name] ?? OTHER_TROUBLE);
    }
    return this.turn === turn;
  }

  // Without this, an unplugged or forbidden camera would still send its last picture.
  gone(stream) {
    if (this.stream !== stream) return;
    this.close();
    this.onGone(GONE);
  }

  close() {
    this.turn += 1;
    if (this.stream) stop(this.stream);
    this.video.srcObject = this.stream = null;
  }

  // A JPEG of what the camera sees, no larger than `limit`.
  picture(quality, limit = { width: Infinity, height: Infinity }) {
    const { videoWidth: width, videoHeight: height } = this.video;
    const scale = Math.min(1, limit.width / width, limit.height / height);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
  }

  photo() {
    return this.picture(QUALITY.photo);
  }

  // Tells what the picture lacks, for as long as this camera is open: { ready, text, busy }.
  // Pauses while `paused` says so.
  async advise(purpose, paused, tell) {
    const stream = this.stream;
    while (stream && this.stream === stream) {
      let pause_ms = PREVIEW_MS;
      if (!paused()) {
        const advice = await this.advice(purpose);
        pause_ms = advice.busy_ms ?? PREVIEW_MS;
        if (this.stream === stream && !paused()) tell(advice);
      }
      await sleep(pause_ms);
    }
  }

  async advice(purpose) {
    try {
      const form = new FormData();
      form.set("for", purpose);
      form.set("file", await this.picture(QUALITY.preview, FRAME_PX), "preview.jpg");
      const reply = await fetch("/quality/", { method: "POST", body: form });
      const { position, reasons } = await reply.json();
      if (!reply.ok && reply.status !== 400) {
        const wait_s = Number(reply.headers.get("Retry-After"));
        return { ready: false, text: "", busy_ms: wait_s * 1000 || BUSY_MS };
      }
      const [reason] = reasons;
      const text = MOVE[position] ?? (reason && (FACES[reason.code] ?? sentence(reason.advice)));
      return { ready: !text, text: text ?? "" };
    } catch {
      return { ready: false, text: "", busy_ms: BUSY_MS };
    }
  }

  // Frames of so many seconds, with their times. `tell` gets each time as it comes. Null if the
  // camera was closed or `cancelled` says so.
  async record(length_s, tell, cancelled) {
    const stream = this.stream;
    const frames = [], times_ms = [], end_ms = length_s * 1000;
    const start_ms = performance.now();
    let bytes = 0;
    for (let next_ms = 0; frames.length < MAX_FRAMES && next_ms <= end_ms; ) {
      await sleep(start_ms + next_ms - performance.now());
      if (this.stream !== stream || cancelled()) return null;
      const at_ms = frames.length ? Math.round(performance.now() - start_ms) : 0;
      tell(at_ms / 1000);
      const quality = bytes > MEAN_FRAME_BYTES * frames.length ? QUALITY.small : QUALITY.frame;
      const frame = await this.picture(quality, FRAME_PX);
      if (frame && frame.size <= MAX_FRAME_BYTES && !(at_ms <= times_ms.at(-1))) {
        frames.push(frame);
        times_ms.push(at_ms);
        bytes += frame.size;
      }
      next_ms = Math.max(next_ms + FRAME_MS, performance.now() - start_ms);
    }
    return { frames, times_ms };
  }
}
