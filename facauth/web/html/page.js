// The camera, and forms whose answers appear in place. Without this file the page works with plain
// forms. The text of every answer comes from the server.
"use strict";

const PREVIEW_MS = 1000; // between two previews
const JPEG = [0.8, 0.95]; // JPEG quality of a preview, and of the photo

const GOOD = "Good. Take the photo.";
const SENDING = "Checking the photo…";
const LOST = "The server did not answer. Check the connection.";
const INSECURE = "Browsers allow the camera on https pages only. Choose a photo instead.";
const TROUBLE = {
  NotAllowedError: "The camera is not allowed. Allow it in the browser, or choose a photo.",
  NotFoundError: "There is no camera. Choose a photo instead.",
  ended: "The camera was disconnected. Open it again, or choose a photo.",
  NotReadableError: "Another program uses the camera. Close it, or choose a photo.",
};

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const stop = (stream) => stream.getTracks().forEach((track) => track.stop());
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

// One form that takes a photo.
class PhotoForm {
  constructor(form) {
    this.form = form;
    this.file = form.querySelector(".file");
    this.submit = form.querySelector("button[type=submit]");
    this.submit.before(document.getElementById("camera").content.cloneNode(true));
    const part = (name) => form.querySelector(name);
    this.frame = part(".frame");
    this.video = part("video");
    this.advice = part(".camera-advice");
    this.opener = part(".camera-open");
    this.taker = part(".camera-take");
    this.closer = part(".camera-close");
    this.stream = null;
    this.turn = 0; // counts opening and closing: the browser's question for the camera may take long
    this.sending = false;
    this.opener.addEventListener("click", () => this.open());
    this.closer.addEventListener("click", () => this.close(this.opener));
    this.taker.addEventListener("click", () => this.take());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.stream) this.take();
      else this.send();
    });
  }

  say(text) {
    if (this.advice.textContent !== text) this.advice.textContent = text; // or screen readers repeat it
  }

  async open() {
    if (!navigator.mediaDevices) return this.say(INSECURE);
    forms.forEach((form) => form.close());
    const turn = this.turn;
    try {
      const video = { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video });
      if (this.turn !== turn) return stop(stream);
      this.video.srcObject = this.stream = stream;
      stream.getVideoTracks()[0].onended = () => this.disconnected(stream);
      await this.video.play();
    } catch (error) {
      if (this.turn !== turn) return; // closed meanwhile, or opened again
      this.close();
      return this.say(TROUBLE[error.name] ?? "The camera does not work. Choose a photo instead.");
    }
    this.say("Put your face into the oval.");
    this.showCamera(true);
    this.taker.focus();
    this.preview(this.stream);
  }

  // Without this, an unplugged or forbidden camera would still send its last picture.
  disconnected(stream) {
    if (this.stream !== stream) return;
    this.close(this.opener);
    this.say(TROUBLE.ended);
  }

  close(next) {
    this.turn += 1;
    if (this.stream) stop(this.stream);
    this.video.srcObject = this.stream = null;
    this.showCamera(false);
    this.say("");
    next?.focus();
  }

  showCamera(open) {
    for (const part of [this.frame, this.taker, this.closer]) part.hidden = !open;
    for (const part of [this.opener, this.file, this.submit]) part.hidden = open;
    this.file.querySelector("input").required = !open;
  }

  picture(quality) {
    const canvas = document.createElement("canvas");
    canvas.width = this.video.videoWidth;
    canvas.height = this.video.videoHeight;
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
  }

  // Shows what the photo lacks while this camera is open.
  async preview(stream) {
    while (this.stream === stream) {
      let pause_ms = PREVIEW_MS;
      if (!this.sending) {
        try {
          const form = new FormData();
          form.set("for", this.form.dataset.for);
          form.set("file", await this.picture(JPEG[0]), "preview.jpg");
          const reply = await fetch("/quality/", { method: "POST", body: form });
          const answer = await reply.json();
          if (!reply.ok && reply.status !== 400) {
            pause_ms = 1000 * (Number(reply.headers.get("Retry-After")) || 5);
            if (this.stream === stream && !this.sending) this.say(""); // the last advice is outdated
          } else if (this.stream === stream && !this.sending) {
            this.say(reply.ok ? GOOD : sentence(answer.reasons[0].advice));
          }
        } catch {
          pause_ms = 5000; // `send` says so
        }
      }
      await sleep(pause_ms);
    }
  }

  async take() {
    if (!this.form.reportValidity()) return;
    await this.send(await this.picture(JPEG[1]));
  }

  // Sends the form, with the camera's photo in place of the file.
  async send(photo) {
    if (this.sending) return;
    this.busy(true);
    const body = new FormData(this.form);
    if (photo) body.set("file", photo, "camera.jpg");
    try {
      const { ok, page } = await load(this.form.action, { method: "POST", body });
      if (ok) {
        this.close();
        this.form.reset();
      }
      this.busy(false);
      show(page);
    } catch {
      this.busy(false);
      this.say(`${LOST} A smaller photo may get through.`);
    }
  }

  busy(sending) {
    this.sending = sending;
    for (const button of [this.submit, this.taker]) button.setAttribute("aria-disabled", sending);
    this.say(sending ? SENDING : "");
  }
}

// The page that answers a request, and whether it succeeded; throws unless it is a facauth page.
async function load(url, request) {
  const reply = await fetch(url, { ...request, headers: { Accept: "text/html", ...request.headers } });
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  if (!page.getElementById("answer")) throw new Error("not a facauth page");
  return { ok: reply.ok, page };
}

// Shows the answer on a loaded page, or the whole page if its forms differ from this one's.
function show(page) {
  const operator = (document) => document.getElementById("register-form") !== null;
  const part = operator(page) === operator(document) ? "#answer" : "main";
  document.querySelector(part).replaceWith(document.adoptNode(page.querySelector(part)));
  if (part === "main") addCameras();
  const csrf = page.querySelector("[name=csrf]"); // a session may have begun in another tab
  if (csrf) document.querySelectorAll("[name=csrf]").forEach((field) => (field.value = csrf.value));
  document.title = page.title;
  document.getElementById("answer").focus();
}

// Plain forms cannot send DELETE, so without script only the command line removes people.
function addRemoveButton(person) {
  const name = person.dataset.name;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small quiet";
  button.textContent = "Remove";
  button.setAttribute("aria-label", `Remove ${name}`);
  button.addEventListener("click", async () => {
    if (!confirm(`Remove ${name} with all photos and encodings?`)) return;
    const csrf = document.querySelector("#session-form [name=csrf]").value;
    // The server strips the space. It keeps a person called ".." from being the parent folder.
    const url = `/people/%20${encodeURIComponent(name)}`;
    try {
      show((await load(url, { method: "DELETE", headers: { "X-CSRF-Token": csrf } })).page);
    } catch {
      alert(LOST);
    }
  });
  person.append(button);
}

let forms = [];

function addCameras() {
  forms.forEach((form) => form.close());
  forms = [...document.querySelectorAll("form.photo")].map((form) => new PhotoForm(form));
  document.querySelectorAll("ul.people [data-name]").forEach(addRemoveButton);
}

addCameras();
document.addEventListener("visibilitychange", () => {
  if (document.hidden) forms.forEach((form) => form.close()); // nobody would see that the camera is on
});
