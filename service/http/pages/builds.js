// The second part of the page: the newest builds, after the secret is entered. It reloads while a build is running.
const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...inside) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
};
const AGAIN_MS = 3000;
let again;

const underWay = (build) => ["accepted", "running"].includes(build.status) || build.delivery === "pending";

// Only http and https. The links come from the service, and the page does not trust them.
function links(build) {
  const { pages_url: page, repo_url: repository } = build.outcome ?? {};
  const candidates = [["page", page], ["repository", repository], ["details", `builds/${encodeURIComponent(build.id)}`]];
  return candidates.filter(([, url]) => url && /^https?:$/.test(new URL(url, location.href).protocol))
    .map(([textContent, href]) => make("a", { textContent, href }));
}

function item(build) {
  const { passed = 0, failed = [] } = build.outcome ?? {};
  const checks = build.outcome ? `${passed} checks passed` + (failed.length ? `, ${failed.length} failed` : "") : "";
  const summary = [build.status, checks, `callback ${build.delivery}`].filter(Boolean).join(" · ");
  const state = make("span", { className: build.status === "failed" || failed.length ? "bad" : "", textContent: summary });
  const head = make("p", { className: "quiet small" }, `${build.task} · round ${build.round} · `,
    new Date(1000 * build.received_s).toLocaleString(), " · ", state);
  return make("li", {}, make("p", { textContent: build.brief }), head, make("p", { className: "links" }, ...links(build)));
}

async function show(event) {
  event?.preventDefault();
  clearTimeout(again);
  try {
    const response = await fetch("builds?limit=20", { headers: { authorization: `Bearer ${$("secret").value}` } });
    const body = await response.json();
    if (!response.ok) throw new Error(body.detail);
    $("builds").replaceChildren(...body.builds.map(item));
    $("builds-said").textContent = body.builds.length ? "" : "No brief has come in yet.";
    $("builds-said").className = "quiet";
    if (body.builds.some(underWay)) again = setTimeout(show, AGAIN_MS);
  } catch (error) {
    $("builds").replaceChildren();
    $("builds-said").textContent = error.message;
    $("builds-said").className = "bad";
  }
}

$("builds-form").addEventListener("submit", show);
