// Requests to this service. An answer that is no success becomes a `Failure` with the problem's fields.
import { words } from "./words.js";
import { withKey } from "./login.js";

class Failure extends Error {
  constructor(problem, status) {
    super(problem.detail);
    Object.assign(this, problem, { detail: problem.detail ?? words.unreachable, status });
  }
}

export async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Failure(body.error ? { detail: body.error.message } : body, response.status);
}

export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    dispatchEvent(new Event("sameboat-unreachable"));
    throw new Failure({ detail: words.unreachable }, 0);
  }
  return checked(response);
}

export const json = async (url, options = {}) => (await request(url, { ...options, headers: withKey(options.headers) })).json();

export const post = (url, body, { signal, ...headers } = {}) => request(url, {
  method: "POST", signal, headers: withKey({ "content-type": "application/json", ...headers }), body: JSON.stringify(body),
});

// The events of a stream as [kind, value, id]. OpenAI's streams have no kinds and end with [DONE].
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const frames = (rest + value).split("\n\n");
      rest = frames.pop();
      for (const frame of frames) {
        const data = /^data: (.*)$/m.exec(frame)?.[1];
        if (data && data !== "[DONE]") yield [/^event: (.*)$/m.exec(frame)?.[1], JSON.parse(data), /^id: (.*)$/m.exec(frame)?.[1]];
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the stream may have failed before
  }
}

// The secret of builds, kept for this tab.
const NAME = "sameboat-builds";
export const secret = () => sessionStorage.getItem(NAME);
export const keepSecret = (value) => (value ? sessionStorage.setItem(NAME, value) : sessionStorage.removeItem(NAME));
export const withSecret = async (url, options = {}) => (await request(url, { ...options, headers: { ...options.headers, authorization: `Bearer ${secret()}` } })).json();
