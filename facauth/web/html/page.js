// The camera, and forms that are answered in place. Without this file the page does all the same,
// by plain forms; the words of every answer are the server's.
"use strict";

const PREVIEW_MS = 1000; // between two questions of what the photo still lacks
const JPEG = [0.8, 0.95]; // quality of a preview, and of a photo that is judged

const GOOD = "Good. Take the photo.";
const SENDING = "Looking at the photo…";
const LOST = "The server did not answer. Check the connection.";
const INSECURE = "Browsers give the camera to pages by https only. Choose a photo instead.";
const TROUBLE = {
  NotAllowedError: "The camera is not allowed. Allow it in the browser, or choose a photo.",
  NotFoundError: "There is no camera. Choose a photo instead.",
  ended: "The camera was taken away. Open it again, or choose a photo.",
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
    this.turn = 0; // of opening or closing: the browser may take long to ask for the camera
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
    if (this.advice.textContent !== text) this.advice.textContent = text; // or it is read out again
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
      stream.getVideoTracks()[0].onended = () => this.lose(stream);
      await this.video.play();
    } catch (error) {
      if (this.turn !== turn) return; // closed meanwhile, or another was asked for
      this.close();
      return this.say(TROUBLE[error.name] ?? "The camera does not work. Choose a photo instead.");
    }
    this.say("Put your face into the oval.");
    this.show(true);
    this.taker.focus();
    this.watch(this.stream);
  }

  // Unplugged, or not allowed any more: or else its last picture would be sent.
  lose(stream) {
    if (this.stream !== stream) return;
    this.close(this.opener);
    this.say(TROUBLE.ended);
  }

  close(next) {
    this.turn += 1;
    if (this.stream) stop(this.stream);
    this.video.srcObject = this.stream = null;
    this.show(false);
    this.say("");
    next?.focus();
  }

  show(camera) {
    for (const part of [this.frame, this.taker, this.closer]) part.hidden = !camera;
    for (const part of [this.opener, this.file, this.submit]) part.hidden = camera;
    this.file.querySelector("input").required = !camera;
  }

  picture(quality) {
    const canvas = document.createElement("canvas");
    canvas.width = this.video.videoWidth;
    canvas.height = this.video.videoHeight;
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
  }

  // Asks what the photo lacks for as long as this camera is open.
  async watch(stream) {
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
            if (this.stream === stream && !this.sending) this.say(""); // what was said is old
          } else if (this.stream === stream && !this.sending) {
            this.say(reply.ok ? GOOD : sentence(answer.reasons[0].advice));
          }
        } catch {
          pause_ms = 5000; // it is said when a photo is sent
        }
      }
      await sleep(pause_ms);
    }
  }

  async take() {
    if (!this.form.reportValidity()) return;
    await this.send(await this.picture(JPEG[1]));
  }

  // What the form says; with a photo of the camera in place of a file.
  async send(photo) {
    if (this.sending) return;
    this.busy(true);
    const body = new FormData(this.form);
    if (photo) body.set("file", photo, "camera.jpg");
    try {
      const { ok, page } = await ask(this.form.action, { method: "POST", body });
      if (ok) {
        this.close();
        this.form.reset();
      }
      this.busy(false);
      answer(page);
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

// Another page of ours, and whether it is a yes; throws where there is none.
async function ask(url, request) {
  const reply = await fetch(url, { ...request, headers: { Accept: "text/html", ...request.headers } });
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  if (!page.getElementById("answer")) throw new Error("not our page");
  return { ok: reply.ok, page };
}

// Shows the answer of another page of ours; all of that page, if it has other forms than this one.
function answer(page) {
  const operator = (document) => document.getElementById("register-form") !== null;
  const part = operator(page) === operator(document) ? "#answer" : "main";
  document.querySelector(part).replaceWith(document.adoptNode(page.querySelector(part)));
  if (part === "main") enhance();
  const csrf = page.querySelector("[name=csrf]"); // of another session, if one began elsewhere
  if (csrf) document.querySelectorAll("[name=csrf]").forEach((field) => (field.value = csrf.value));
  document.title = page.title;
  document.getElementById("answer").focus();
}

// A form cannot ask for a removal, so without script it is a matter of the command line.
function removable(person) {
  const name = person.dataset.name;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small quiet";
  button.textContent = "Remove";
  button.setAttribute("aria-label", `Remove ${name}`);
  button.addEventListener("click", async () => {
    if (!confirm(`Remove ${name} and all that is kept of them?`)) return;
    const csrf = document.querySelector("#session-form [name=csrf]").value;
    // The space, which the server takes off, keeps a person called ".." from being a step up.
    const url = `/people/%20${encodeURIComponent(name)}`;
    try {
      answer((await ask(url, { method: "DELETE", headers: { "X-CSRF-Token": csrf } })).page);
    } catch {
      alert(LOST);
    }
  });
  person.append(button);
}

let forms = [];

function enhance() {
  forms.forEach((form) => form.close());
  forms = [...document.querySelectorAll("form.photo")].map((form) => new PhotoForm(form));
  document.querySelectorAll("ul.people [data-name]").forEach(removable);
}

enhance();
document.addEventListener("visibilitychange", () => {
  if (document.hidden) forms.forEach((form) => form.close()); // nobody sees what the camera sees
});
