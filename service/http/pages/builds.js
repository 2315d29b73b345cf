// The page's second part: the newest builds, for whoever knows the secret. Looks again while one of them is under way.
const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
};
const AGAIN_MS = 3000;
let again;

const underWay = (build) => ["accepted", "running"].includes(build.status) || build.delivery === "pending";

// Only http and https: what a link says comes from the service, but a page should not have to trust it.
function links(build) {
  const { pages_url: page, repo_url: repository } = build.outcome ?? {};
  const found = [["page", page], ["repository", repository], ["all of it", `builds/${encodeURIComponent(build.id)}`]];
  return found.filter(([, url]) => url && /^https?:$/.test(new URL(url, location.href).protocol))
    .map(([textContent, href]) => make("a", { textContent, href }));
}

function item(build) {
  const { passed = 0, failed = [] } = build.outcome ?? {};
  const checks = build.outcome ? `${passed} checks passed` + (failed.length ? `, ${failed.length} failed` : "") : "";
  const said = [build.status, checks, `callback ${build.delivery}`].filter(Boolean).join(" · ");
  const state = make("span", { className: build.status === "failed" || failed.length ? "bad" : "", textContent: said });
  const head = make("p", { className: "quiet small" }, `${build.task} · round ${build.round} · `,
    new Date(1000 * build.received_s).toLocaleString(), " · ", state);
  return make("li", {}, make("p", { textContent: build.brief }), head, make("p", { className: "links" }, ...links(build)));
}

async function show(event) {
  event?.preventDefault();
  clearTimeout(again);
  try {
    const response = await fetch("builds?limit=20", { headers: { authorization: `Bearer ${$("secret").value}` } });
    const told = await response.json();
    if (!response.ok) throw new Error(told.detail);
    $("builds").replaceChildren(...told.builds.map(item));
    $("builds-said").textContent = told.builds.length ? "" : "No brief has come in yet.";
    $("builds-said").className = "quiet";
    if (told.builds.some(underWay)) again = setTimeout(show, AGAIN_MS);
  } catch (error) {
    $("builds").replaceChildren();
    $("builds-said").textContent = error.message;
    $("builds-said").className = "bad";
  }
}

$("builds-form").addEventListener("submit", show);
