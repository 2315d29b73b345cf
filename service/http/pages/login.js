// The key of this tab: asked for where the service wants one, kept in sessionStorage, sent with every request of the page.
// No cookie holds it: a cookie goes to every port of this host, and with requests that other sites cause.
const NAME = "sameboat-key";
const $ = (id) => document.getElementById(id);

export const key = () => sessionStorage.getItem(NAME);

export const withKey = (headers = {}) => (key() ? { ...headers, authorization: `Bearer ${key()}` } : headers);

export const get = (url) => fetch(url, { headers: withKey() });

export function forget() {
  sessionStorage.removeItem(NAME);
  location.reload();
}

// The first answer to `url` that is not "show a key"; meanwhile the page asks for it.
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
