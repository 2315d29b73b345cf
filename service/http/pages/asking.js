// Requests to one promoted prompt: run it, render it, run it with the probabilities of its tokens.
import { events, post } from "./api.js";
import { words } from "./words.js";

const w = words.try;
// A draft of the studio has the same routes as a promoted prompt, at another place.
const DRAFT = "draft:";
const draftOf = (name) => (name.startsWith(DRAFT) ? name.slice(DRAFT.length) : null);
export const url = (name) => (draftOf(name) ? `studio/drafts/${encodeURIComponent(draftOf(name))}` : `prompts/${encodeURIComponent(name)}`);

// Runs one prompt and tells each state of the run to `tell`. The last one has the answer or the problem.
export async function run(name, body, tell, { signal, headers = {} }) {
  let state = { busy: true, body };
  const say = (part) => tell(state = { ...state, ...part });
  say({});
  try {
    let text = "";
    for await (const [kind, data] of events(await post(url(name), body, { signal, accept: "text/event-stream", ...headers }))) {
      if (kind === "chunk") say({ text: text += data.text });
      else if (kind === "answer") say({ answer: data });
      else say({ problem: data });
    }
    if (!state.answer && !state.problem) say({ problem: { detail: w.reloaded } });
  } catch (error) {
    say(error.name === "AbortError" ? { stopped: true } : { problem: error.detail ? error : { detail: words.unreachable } });
  }
  say({ busy: false });
  return state;
}

export const rendered = async (name, body, logprobs = false) => (await post(`${url(name)}/tokens`, { inputs: body.inputs, logprobs })).json();
export const withProbabilities = async (name, body, headers) => (await post(url(name), { ...body, logprobs: true }, headers)).json();
