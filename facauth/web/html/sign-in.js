// Signing in: the camera waits for a face in the oval, counts down, and records the movements that
// the server asks for. Without this file the page works with a plain form.

import { countDown, load, LOST, showAnswer } from "./answer.js";
import { Camera } from "./camera.js";

const COUNT_S = 3; // before the recording starts by itself
const BACK_S = 0.4; // before the end of a movement's window: time to look back into the camera
const GO_ON_S = 3; // before the page goes on to the address of --on-success
const KIOSK_S = { good: 6, bad: 12 }; // before the page goes back to its start
const OPENING = "Allow the camera if the browser asks.";
const READY = "Good. Hold still.";
const SENDING = "Checking…";
const PHOTO = " You can use a photo file instead.";
const CANCEL = { count: "Not yet", record: "Cancel", other: "Close the camera" };
const LOOK = "Look at the camera.";
const PROMPT = {
  look_left: "Turn your head to the left.",
  look_right: "Turn your head to the right.",
  look_up: "Raise your chin and look up.",
  come_nearer: "Come nearer.",
};

const form = document.getElementById("sign-in-form");
const part = (selector) => form.querySelector(selector);
const box = part(".camera"), button = part(".go"), stopper = part(".stop");
const more = part(".more"), file = part(".file");
const camera = new Camera(part("video"), (text) => fail(text));

let state = "start"; // start, opening, aim, ready, count, record, send
let byHand = false; // somebody stopped the countdown, or the server gives no advice
let cancelled = false;
let stopCounting = () => {};

function enter(next, text) {
  stopCounting();
  state = box.dataset.state = next;
  const open = next !== "start";
  button.textContent = open ? button.dataset.action : button.dataset.open;
  if (next === "count") button.textContent = "Start now";
  button.hidden = next === "record" || next === "send";
  button.setAttribute("aria-disabled", ["opening", "aim"].includes(next));
  stopper.hidden = !open || next === "send";
  stopper.textContent = CANCEL[next] ?? CANCEL.other;
  more.hidden = open;
  part(".count").textContent = "";
  delete box.dataset.move;
  say(text);
}

function say(text) {
  const line = part(".camera .say");
  if (line.textContent !== text) line.textContent = text; // or screen readers repeat it
}

async function open() {
  document.getElementById("answer").hidden = true;
  form.hidden = false;
  byHand = false;
  enter("opening", OPENING);
  try {
    if (!(await camera.open())) return;
  } catch (error) {
    return fail(error.message);
  }
  enter("aim", "Put your face into the oval.");
  camera.advise("sign-in", () => ["record", "send"].includes(state), advise);
}

function close(text = "") {
  cancelled = true;
  camera.close();
  enter("start", text);
}

function fail(text) {
  close(file ? text + PHOTO : text);
  if (file) file.open = true;
  button.focus();
}

// What the server says about the last preview.
function advise({ ready, text, busy_ms }) {
  if (busy_ms) byHand = true;
  if (ready && state === "aim") {
    enter("ready", READY);
    if (!byHand) count();
  } else if (!ready && busy_ms) {
    enter("ready", "Start when your face fills the oval.");
  } else if (!ready) {
    if (state !== "aim") enter("aim", text);
    say(text);
  }
}

function count() {
  enter("count", `${READY} Starting in ${COUNT_S} seconds.`);
  const tell = (left_s) => (part(".count").textContent = left_s);
  stopCounting = countDown(COUNT_S, tell, record);
}

async function record() {
  cancelled = false;
  enter("send", SENDING);
  const challenge = await draw();
  if (!challenge || cancelled || !camera.stream) return;
  enter("record", LOOK);
  stopper.focus();
  showWindows(challenge);
  const taken = await camera.record(challenge.length_s, follow(challenge), () => cancelled);
  if (!taken) return;
  camera.close();
  enter("send", SENDING);
  const body = new FormData(form);
  body.delete("file");
  taken.frames.forEach((frame, number) => body.append("frame", frame, `${number}.jpg`));
  body.set("times_ms", taken.times_ms.join());
  body.set("challenge", challenge.id);
  await send(body, close);
}

// The movements that the server wants to see; undefined if there are none to be had.
async function draw() {
  try {
    const name = new FormData(form).get("name");
    const body = new URLSearchParams({ name });
    const reply = await fetch("/challenge/", { method: "POST", body });
    if (reply.ok) return (await reply.json()).challenge;
    answered(await load("/challenge/", { method: "POST", body })); // the same refusal, as a page
  } catch {
    close(LOST);
  }
}

// Where on the line of time each movement belongs.
function showWindows({ prompts, length_s }) {
  const line = part(".timeline");
  line.querySelectorAll(".window").forEach((window) => window.remove());
  for (const { from_s, to_s } of prompts) {
    const window = document.createElement("div");
    window.className = "window";
    window.style.left = `${(100 * from_s) / length_s}%`;
    window.style.width = `${(100 * (to_s - from_s)) / length_s}%`;
    line.append(window);
  }
}

// Shows and says what to do at each time.
function follow({ prompts, length_s }) {
  return (at_s) => {
    const number = prompts.findIndex(({ from_s, to_s }) => from_s <= at_s && at_s < to_s - BACK_S);
    part(".done").style.width = `${Math.min(100, (100 * at_s) / length_s)}%`;
    if (number < 0) {
      delete box.dataset.move;
      return say(LOOK);
    }
    box.dataset.move = prompts[number].action;
    say(PROMPT[prompts[number].action]);
  };
}

// Sends a sign-in and shows its answer; `lost` says so if there is none.
async function send(body, lost) {
  try {
    answered(await load(form.action, { method: "POST", body }));
  } catch {
    lost(LOST);
  }
}

function answered({ page }) {
  close();
  form.hidden = true;
  goOn(showAnswer(page));
}

// The way on from an answer.
function goOn(answer) {
  const next = answer.querySelector("#continue");
  const good = answer.classList.contains("good");
  if (next) {
    offer(answer, GO_ON_S, "Going on in", () => location.assign(next.href));
  } else if (document.body.hasAttribute("data-kiosk")) {
    const wait_s = Number(answer.querySelector("[data-seconds]")?.dataset.seconds ?? 0);
    offer(answer, wait_s + KIOSK_S[good ? "good" : "bad"], "Back to the start in", restart);
  }
}

// Counts down to something, with a way to stop it.
function offer(answer, seconds, text, done) {
  const line = document.createElement("p"), left = document.createElement("b");
  const stay = document.createElement("button");
  line.className = "hint";
  line.setAttribute("aria-live", "off");
  line.append(`${text} `, left, ".");
  stay.type = "button";
  stay.className = "stay quiet";
  stay.textContent = "Stay here";
  answer.append(line, stay);
  stopOffer = countDown(seconds, (left_s) => (left.textContent = `${left_s} s`), done);
  stay.addEventListener("click", () => {
    stopOffer();
    line.remove();
    stay.remove();
    answer.focus();
  });
}

let stopOffer = () => {};

function restart() {
  stopOffer();
  document.getElementById("answer").hidden = true;
  document.title = "Sign in · facauth";
  form.hidden = false;
  form.reset();
  close();
  button.focus();
}

button.addEventListener("click", () => {
  if (button.getAttribute("aria-disabled") === "true") return;
  if (state === "start") open();
  else if (state === "ready" || state === "count") record();
});

stopper.addEventListener("click", () => {
  if (state === "count") {
    byHand = true;
    enter("ready", "Start when you are ready.");
    button.focus();
  } else {
    close();
    button.focus();
  }
});

document.addEventListener("click", (event) => {
  const again = event.target.closest?.("[data-again]");
  if (!again) return;
  event.preventDefault();
  if (again.getAttribute("aria-disabled") === "true") return;
  const good = document.getElementById("answer").classList.contains("good");
  const byFile = file?.open;
  restart();
  if (!good && !byFile) open();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!file?.open) return button.click();
  const line = file.querySelector(".say"), submit = file.querySelector("button");
  if (submit.getAttribute("aria-disabled") === "true") return;
  submit.setAttribute("aria-disabled", "true");
  line.textContent = SENDING;
  await send(new FormData(form), (text) => (line.textContent = `${text} A smaller photo may get through.`));
  submit.removeAttribute("aria-disabled");
  if (line.textContent === SENDING) line.textContent = "";
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden && (camera.stream || state === "opening")) close(); // nobody would see that it is on
});

box.hidden = false;
if (file) {
  const input = file.querySelector("input");
  file.addEventListener("toggle", () => (input.required = file.open));
  file.open = input.required = false;
}
const shown = document.getElementById("answer");
if (!shown.hidden) {
  form.hidden = true;
  goOn(shown);
}
