// The key of this tab: the page asks for it if the service needs one, keeps it in sessionStorage, and sends it with every
// request. It is not in a cookie, because cookies go to every port of this host, and with requests from other sites.
const NAME = "sameboat-key";
const $ = (id) => document.getElementById(id);

// The address of the studio holds its key once. A browser sends nothing after # to a server.
export const studio = "studio" in document.documentElement.dataset;
function takeFromAddress() {
  const [path, query] = location.hash.split("?");
  const given = studio && new URLSearchParams(query).get("token");
  if (!given) return;
  sessionStorage.setItem(NAME, given);
  history.replaceState(null, "", path);
}
takeFromAddress();

export const key = () => sessionStorage.getItem(NAME);

export const withKey = (headers = {}) => (key() ? { ...headers, authorization: `Bearer ${key()}` } : headers);

export const get = (url) => fetch(url, { headers: withKey() });

export function forget() {
  sessionStorage.removeItem(NAME);
  location.reload();
}

// The first answer to `url` that is not 401. Until then the page asks for a key.
export async function enter(url) {
  for (;;) {
    const answer = await get(url);
    const refused = answer.status === 401 || (answer.status === 429 && (await answer.clone().json()).type?.endsWith(":guessing"));
    document.body.classList.toggle("locked", refused);
    $("login").hidden = !refused;
    if (!refused) return answer;
    $("login-said").textContent = key() ? (await answer.json()).detail.split(". Send it as")[0] + "." : "";
    sessionStorage.removeItem(NAME);
    $("key").focus();
    await new Promise((done) => $("login").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(NAME, $("key").value.trim());
      $("key").value = "";
      done();
    }, { once: true }));
  }
}
