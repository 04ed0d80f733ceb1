// Passkeys: asks the browser for one and hands its answer to the server. Loaded only by pages with a passkey button.
(() => {
  "use strict";
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) => buffer && btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const decoded = (list) => list?.map((one) => ({ ...one, id: bytes(one.id) }));

  // Written out, for the browsers that cannot turn these to and from JSON by themselves
  const ceremonies = {
    create: async (options) => {
      const publicKey = { ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) }, excludeCredentials: decoded(options.excludeCredentials) };
      const made = await navigator.credentials.create({ publicKey });
      return shared(made, { attestationObject: text(made.response.attestationObject), transports: made.response.getTransports?.() ?? [] });
    },
    get: async (options) => {
      const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: decoded(options.allowCredentials) };
      const found = await navigator.credentials.get({ publicKey });
      return shared(found, { authenticatorData: text(found.response.authenticatorData), signature: text(found.response.signature), userHandle: text(found.response.userHandle) });
    },
  };
  const shared = (key, response) => ({ id: key.id, rawId: text(key.rawId), type: key.type, response: { clientDataJSON: text(key.response.clientDataJSON), ...response } });

  class Told extends Error {} // its message is for the person

  async function ask(part, address, body) {
    const headers = { "Content-Type": "application/json", "X-CSRFToken": part.dataset.token };
    const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.redirected) { // the session ended, or it was too long ago that this person proved who they are
      location.assign(answer.url);
      return new Promise(() => {});
    }
    const said = answer.headers.get("Content-Type")?.startsWith("application/json") ? await answer.json() : {};
    if (!answer.ok) throw new Told(said.error ?? part.dataset.failed);
    return said;
  }

  async function run(part) {
    const name = part.closest("section, form")?.querySelector("[name=name]")?.value;
    try {
      const options = await ask(part, part.dataset.options, {});
      const credential = await ceremonies[part.dataset.passkey](options);
      location.assign((await ask(part, part.dataset.verify, { credential, name })).go);
      return;
    } catch (error) {
      if (error instanceof Told) tell(part, error.message);
      else if (error.name === "InvalidStateError") tell(part, part.dataset.known);
      else if (error.name === "NotAllowedError" || error.name === "AbortError") tell(part, part.dataset.cancelled);
      else tell(part, part.dataset.failed);
    }
    busy(part, false);
  }

  function tell(part, sentence) {
    const line = part.querySelector("[data-said]");
    line.setAttribute("role", "alert");
    line.textContent = sentence;
    line.hidden = !sentence;
  }
  function busy(part, is) {
    const button = part.querySelector("button");
    button.toggleAttribute("aria-busy", is);
    button.disabled = is;
  }

  for (const part of document.querySelectorAll("[data-passkey]")) {
    if (!window.PublicKeyCredential) {
      part.querySelector("button").hidden = true;
      tell(part, part.dataset.unsupported);
      continue;
    }
    part.querySelector("button").addEventListener("click", () => {
      tell(part, "");
      busy(part, true);
      run(part);
    });
  }
  // Come back by the browser's own button, one may press again
  addEventListener("pageshow", (event) => { if (event.persisted) document.querySelectorAll("[data-passkey]").forEach((part) => busy(part, false)); });
})();
