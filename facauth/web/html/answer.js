// Answers in place of whole pages, and what counts down in them. The text of every answer comes from
// the server.

export const LOST = "The server did not answer. Check the connection.";

// The page that answers a request, and whether it succeeded; throws unless it is a facauth page.
export async function load(url, request = {}) {
  const reply = await fetch(url, { ...request, headers: { Accept: "text/html", ...request.headers } });
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  if (!page.getElementById("answer")) throw new Error("not a facauth page");
  return { ok: reply.ok, page };
}

// Puts the same part of a loaded page in place of this one's.
export function swap(page, selector) {
  const part = document.adoptNode(page.querySelector(selector));
  document.querySelector(selector).replaceWith(part);
  return part;
}

// Shows the answer on a loaded page; screen readers begin to read there.
export function showAnswer(page) {
  const answer = swap(page, "#answer");
  document.title = page.title;
  startWaits(answer);
  answer.focus();
  answer.scrollIntoView({ block: "nearest" });
  return answer;
}

// Tells the whole seconds that are left, then calls `done`. Returns a function that stops it.
export function countDown(seconds, tell, done) {
  const end_ms = performance.now() + seconds * 1000;
  let timer;
  const tick = () => {
    const left_s = Math.ceil((end_ms - performance.now()) / 1000);
    if (left_s <= 0) return done();
    tell(left_s);
    timer = setTimeout(tick, 200);
  };
  tick();
  return () => clearTimeout(timer);
}

// Whatever says how long to wait. Nobody can try again before that, and then it says so.
export function startWaits(root) {
  for (const wait of root.querySelectorAll("[data-seconds]")) {
    const shown = wait.querySelector("b") ?? wait;
    const again = wait.closest("section").querySelector("[data-again]");
    again?.setAttribute("aria-disabled", "true");
    countDown(
      Number(wait.dataset.seconds),
      (left_s) => (shown.textContent = spoken(left_s)),
      () => {
        wait.textContent = again ? "You can try again now." : "over";
        again?.removeAttribute("aria-disabled");
      },
    );
  }
}

const spoken = (seconds) => (seconds <= 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`);
