// Requests to this service. An answer that is no success becomes a `Failure` with the problem's fields.
import { words } from "./words.js";
import { withKey } from "./login.js";

class Failure extends Error {
  constructor(problem, status) {
    super(problem.detail);
    Object.assign(this, problem, { detail: problem.detail ?? words.no_problem(status), status });
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

// The JSON of an answer. A proxy in front of the service may answer with something else.
export async function parsed(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure({ detail: error instanceof SyntaxError ? words.no_json : words.unreachable }, response.status);
  }
}

export const json = async (url, options = {}) => parsed(await request(url, { ...options, headers: withKey(options.headers) }));

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
export const withSecret = async (url, options = {}) => parsed(await request(url, { ...options, headers: { ...options.headers, authorization: `Bearer ${secret()}` } }));
