// The operator's page: photos from files and the camera, answers in place, and removing people.
// Without this file the page works with plain forms; only removing needs the command line then.

import { load, LOST, showAnswer, startWaits, swap } from "./answer.js";
import { Camera } from "./camera.js";

const SENDING = "Checking the photos…";
const THUMBNAIL_PX = 96;

// The form that registers a person. Its photos are files and pictures of the camera.
class Register {
  constructor(form) {
    const part = (selector) => form.querySelector(selector);
    this.form = form;
    this.input = part("input[type=file]");
    this.list = part(".photos");
    this.line = part(":scope > .say");
    this.submit = part("button[type=submit]");
    this.box = part(".camera");
    this.button = part(".go");
    this.stopper = part(".stop");
    this.photos = [];
    this.sending = false;
    this.camera = new Camera(part("video"), (text) => this.close(text));
    this.box.hidden = false;
    this.enter("start", "");
    this.stopper.textContent = "Close the camera";
    this.button.addEventListener("click", () => this.press());
    this.stopper.addEventListener("click", () => this.close());
    this.input.addEventListener("change", () => this.choose());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    if (this.input.files.length) this.choose(); // before this script had come
  }

  enter(state, text) {
    this.box.dataset.state = state;
    const open = state !== "start";
    this.button.textContent = open ? this.button.dataset.action : this.button.dataset.open;
    this.button.classList.toggle("quiet", !open);
    this.button.setAttribute("aria-disabled", state === "opening" || state === "aim");
    this.stopper.hidden = !open;
    this.say(text);
  }

  say(text) {
    const line = this.box.querySelector(".say");
    if (line.textContent !== text) line.textContent = text;
  }

  async press() {
    if (this.button.getAttribute("aria-disabled") === "true") return;
    if (this.camera.stream) {
      await this.add(await this.camera.photo(), "camera.jpg");
      return;
    }
    this.enter("opening", "Allow the camera if the browser asks.");
    try {
      if (!(await this.camera.open())) return;
    } catch (error) {
      return this.close(`${error.message} Choose photos instead.`);
    }
    this.enter("aim", "Put the face into the oval.");
    this.camera.advise("register", () => this.sending, ({ ready, text, busy_ms }) => {
      if (busy_ms) this.enter("ready", "");
      else this.enter(ready ? "ready" : "aim", ready ? "Good. Take the photo." : text);
    });
  }

  close(text = "") {
    this.camera.close();
    this.enter("start", text);
  }

  async choose() {
    const files = [...this.input.files];
    this.input.value = ""; // at once: others may be chosen while these are shown
    for (const file of files) await this.add(file, file.name);
  }

  async add(photo, name) {
    if (this.photos.length >= Number(this.list.dataset.max)) return this.tell("These are as many as can be sent at once.");
    const entry = { photo, name, line: document.createElement("li") };
    this.photos.push(entry);
    this.input.required = false;
    const label = `photo ${this.photos.length}`;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "small quiet";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove ${label}, ${name}`);
    remove.addEventListener("click", () => this.drop(entry));
    entry.line.append(await thumbnail(photo, name), remove);
    this.list.append(entry.line);
    this.tell(`${this.photos.length === 1 ? "1 photo" : `${this.photos.length} photos`} chosen.`);
  }

  drop(entry) {
    this.photos.splice(this.photos.indexOf(entry), 1);
    entry.line.remove();
    this.input.required = !this.photos.length;
    this.tell("");
    this.submit.focus();
  }

  tell(text) {
    this.line.textContent = text;
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    this.submit.setAttribute("aria-disabled", "true");
    this.tell(SENDING);
    const body = new FormData(this.form);
    body.delete("file");
    for (const { photo, name } of this.photos) body.append("file", photo, name);
    try {
      const { ok, page } = await load(this.form.action, { method: "POST", body });
      if (ok) {
        this.close();
        this.photos.slice().forEach((entry) => this.drop(entry));
        this.form.reset();
      }
      this.tell("");
      await show(page);
    } catch {
      this.tell(`${LOST} Fewer or smaller photos may get through.`);
    }
    this.sending = false;
    this.submit.removeAttribute("aria-disabled");
  }
}

// A small picture of a photo; its name where the browser cannot show it.
async function thumbnail(photo, name) {
  const canvas = document.createElement("canvas");
  try {
    const image = await createImageBitmap(photo);
    const scale = THUMBNAIL_PX / Math.min(image.width, image.height);
    canvas.width = canvas.height = THUMBNAIL_PX;
    const width = image.width * scale, height = image.height * scale;
    // Of a tall photo the upper part: the face is there.
    canvas.getContext("2d").drawImage(image, (THUMBNAIL_PX - width) / 2, 0, width, height);
    image.close();
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    return canvas;
  } catch {
    const text = document.createElement("span");
    text.textContent = name;
    return text;
  }
}

// Shows an answer, and people, lock-outs and log as they are now.
async function show(page) {
  if (page.getElementById("operator-form")) {
    swap(page, "main"); // the session ended
    return document.getElementById("answer").focus();
  }
  showAnswer(page).querySelector(".back")?.remove(); // this is where it leads
  await refresh();
}

async function refresh() {
  const { page } = await load(location.href);
  if (!page.getElementById("lists")) return;
  prepare(swap(page, "#lists"));
  // A session may have begun in another tab: its token counts from now on.
  const { value } = page.querySelector("[name=csrf]");
  document.querySelectorAll("[name=csrf]").forEach((field) => (field.value = value));
}

async function act(url, request) {
  try {
    await show((await load(url, request)).page);
  } catch {
    alert(LOST);
  }
}

function prepare(lists) {
  startWaits(lists);
  lists.querySelectorAll("[data-name]").forEach(addRemoveButton);
  for (const form of lists.querySelectorAll(".unlock")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    });
  }
}

// Plain forms cannot send DELETE, so without script only the command line removes people.
function addRemoveButton(person) {
  const name = person.dataset.name;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small quiet";
  button.textContent = "Remove";
  button.setAttribute("aria-label", `Remove ${name}`);
  button.addEventListener("click", () => {
    if (!confirm(`Remove ${name} with all photos and encodings?`)) return;
    const csrf = document.querySelector("#session-form [name=csrf]").value;
    // The server strips the space. It keeps a person called ".." from being the parent folder.
    const url = `/people/%20${encodeURIComponent(name)}`;
    act(url, { method: "DELETE", headers: { "X-CSRF-Token": csrf } });
  });
  person.append(button);
}

const form = document.getElementById("register-form");
const register = form && new Register(form);
const lists = document.getElementById("lists");
if (lists) prepare(lists);
document.addEventListener("visibilitychange", () => {
  if (document.hidden && register?.camera.stream) register.close(); // nobody would see that the camera is on
});
