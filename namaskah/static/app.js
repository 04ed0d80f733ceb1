// What the pages do beyond links and forms. Everything is delegated from the document, so swapped parts need no set-up.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const store = { get: (key) => { try { return localStorage.getItem(key); } catch { return null; } }, set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window */ } } };
  const announce = (text) => { const line = document.getElementById("announce"); if (line && text) line.textContent = text; };

  // ── Time left: counted from the moment the figure arrived, so a wrong clock in the phone does no harm
  const deadlines = new WeakMap();
  function deadline(clock) {
    let known = deadlines.get(clock);
    if (!known || known.told !== clock.dataset.left) {
      known = { told: clock.dataset.left, at: Date.now() + 1000 * clock.dataset.left };
      deadlines.set(clock, known);
    }
    return known.at;
  }
  function tick() {
    for (const clock of all("[data-left]")) {
      const left = Math.max(0, Math.round((deadline(clock) - Date.now()) / 1000));
      const ring = clock.querySelector(".clock-left");
      ring.firstElementChild?.remove(); // the SMIL animation is for pages without script
      ring.setAttribute("stroke-dashoffset", clock.dataset.whole - left);
      clock.querySelector("b").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      clock.classList.toggle("clock-last", left < 60);
      if (!left && clock.dataset.over !== clock.dataset.left) {
        clock.dataset.over = clock.dataset.left;
        poll(clock.closest("[data-poll]"));
      }
    }
  }

  // ── Live: the socket tells; while it is down the page asks every three seconds
  let connected = false;
  const poll = (part) => part && window.htmx?.trigger(part, "poll");
  const net = (down) => { const bar = document.getElementById("netbar"); if (bar) bar.hidden = !down; };
  let beat = 0;
  setInterval(() => {
    beat += 1;
    // A payment is in no hurry. With the socket open a look every half minute covers what no push told of: a process killed between commit and push.
    for (const part of all("[data-poll]")) if ("pollAlways" in part.dataset ? beat % 4 === 0 : !connected || beat % 10 === 0) poll(part);
  }, 3000);
  document.addEventListener("htmx:ws:after:connection", () => { connected = true; net(false); all("[data-poll]").forEach(poll); });
  document.addEventListener("htmx:ws:close", (event) => {
    connected = false;
    if (event.detail.code === 1008) logInAgain(); // the session behind this page has ended
  });
  // An answer asked for before a push came may be older than what was pushed: it is dropped, and asked for again
  const asking = new Set();
  document.addEventListener("htmx:before:request", (event) => { const part = event.detail.ctx?.sourceElement; if (part?.matches?.("[data-poll]")) asking.add(part); });
  document.addEventListener("htmx:finally:request", (event) => asking.delete(event.detail.ctx?.sourceElement));
  document.addEventListener("htmx:ws:before:message:incoming", () => {
    for (const part of asking) {
      asking.delete(part);
      part.dispatchEvent(new Event("htmx:abort"));
      setTimeout(() => poll(part), 100);
    }
  });
  document.addEventListener("htmx:error", (event) => { if (event.detail.ctx && !event.detail.ctx.response && !event.detail.ctx.request?.signal?.aborted) net(true); });
  document.addEventListener("htmx:after:request", () => net(false));
  addEventListener("offline", () => net(true));
  addEventListener("online", () => { net(false); all("[data-poll]").forEach(poll); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { tick(); if (!connected) all("[data-poll]").forEach(poll); } });

  // ── A code came: say so in the title, aloud, by a short sound, by shaking, and outside the page when allowed
  const title = document.title;
  const seen = new Map();
  function look(first) {
    for (const part of all("[data-code]")) {
      const before = seen.get(part.id), now = { state: part.dataset.state, messages: +part.dataset.messages };
      seen.set(part.id, now);
      if (part.dataset.code) document.title = `${part.dataset.state === "received" ? "● " : ""}${part.dataset.code} · ${part.dataset.name} · Namaskah`;
      if (first || !before) continue;
      if (before.state !== now.state || before.messages !== now.messages) announce(part.dataset.announce);
      if (now.messages > before.messages) arrived(part);
      if (before.state !== now.state && !part.dataset.code) document.title = title;
    }
  }
  let audio;
  const wake = () => { try { audio ??= new AudioContext(); audio.resume(); } catch { /* no sound here */ } };
  addEventListener("pointerdown", wake, { passive: true });
  function ring() {
    if (store.get("sound") === "off" || (store.get("sound") === null && document.querySelector("[data-sound]:not(:checked)"))) return;
    wake();
    if (!audio) return;
    [[660, 0], [880, 0.14]].forEach(([pitch, after]) => {
      const start = audio.currentTime + after, tone = audio.createOscillator(), volume = audio.createGain();
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.0001, start);
      volume.gain.exponentialRampToValueAtTime(0.25, start + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.32);
      tone.connect(volume).connect(audio.destination);
      tone.start(start);
      tone.stop(start + 0.34);
    });
  }
  function arrived(part) {
    ring();
    if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.([120, 60, 120]); // browsers complain of it on a page never touched
    if (document.hidden && window.Notification?.permission === "granted") {
      try { new Notification(part.dataset.code || part.dataset.announce, { body: part.dataset.name, tag: part.id }).onclick = () => focus(); } catch { /* needs a service worker here */ }
    }
  }
  function setUpAlerts() {
    for (const box of all("[data-sound]")) if (store.get("sound")) box.checked = store.get("sound") !== "off";
    for (const button of all("[data-notify]")) button.hidden = !canNotify();
  }
  function canNotify() {
    if (window.Notification?.permission !== "default") return false;
    try { new Notification("").close(); return true; } catch { return false; } // phones throw: there it cannot be done
  }

  // ── Pressing
  const toast = (text) => {
    const part = document.getElementById("toast-shape")?.content.firstElementChild?.cloneNode(true);
    if (!part) return;
    part.querySelector("span").textContent = text;
    all(".toast-n[data-floating]").forEach((old) => old.remove());
    part.dataset.floating = "";
    document.body.append(part);
    setTimeout(() => part.remove(), 4000);
  };
  async function copy(button) {
    try { await navigator.clipboard.writeText(button.dataset.copy); } catch {
      const box = Object.assign(document.createElement("textarea"), { value: button.dataset.copy, readOnly: true, className: "sr-only" });
      document.body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
      button.focus();
    }
    toast(button.dataset.done);
    announce(button.dataset.done);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    if (event.target.closest("[data-close]")) event.target.closest(".toast-n").remove();
    const reveal = event.target.closest("[data-reveal]");
    if (reveal) {
      const box = reveal.parentElement.querySelector("input"), show = box.type === "password";
      box.type = show ? "text" : "password";
      reveal.setAttribute("aria-pressed", show);
    }
    if (event.target.closest("[data-notify]")) Notification.requestPermission().then(setUpAlerts);
    for (const menu of all("details.menu-wrap[open]")) if (!menu.contains(event.target)) menu.open = false;
    const service = event.target.closest("[data-service]");
    if (service) choose(service);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-sound]")) { store.set("sound", event.target.checked ? "on" : "off"); if (event.target.checked) ring(); }
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // A pressed button says that it works, and cannot be pressed twice
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    if (event.defaultPrevented || form.hasAttribute("hx-post") || form.hasAttribute("data-download")) return;
    form.dataset.sent = "1";
    const button = event.submitter ?? form.querySelector("button");
    if (!button || form.method !== "post") { delete form.dataset.sent; return; }
    setTimeout(() => {
      button.setAttribute("aria-busy", "true");
      button.setAttribute("aria-disabled", "true");
      const label = button.querySelector("span:not(.sr-only)");
      if (button.dataset.busy && label) { button.dataset.label = button.innerHTML; button.replaceChildren(Object.assign(document.createElement("span"), { className: "spin" }), button.dataset.busy); }
    });
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of all("[data-sent]")) delete form.dataset.sent;
    for (const button of all("[aria-busy]")) {
      button.removeAttribute("aria-busy");
      button.removeAttribute("aria-disabled");
      if (button.dataset.label) button.innerHTML = button.dataset.label;
    }
    all("[data-poll]").forEach(poll);
  });

  // Favourites: shown at once, taken back when the server says no
  document.addEventListener("htmx:before:request", (event) => flip(event.detail.ctx));
  document.addEventListener("htmx:response:error", (event) => flip(event.detail.ctx));
  function flip(ctx) {
    const star = ctx?.sourceElement?.matches?.("[data-favourite]") && ctx.sourceElement.querySelector("[aria-pressed]");
    if (star) star.setAttribute("aria-pressed", star.getAttribute("aria-pressed") === "true" ? "false" : "true");
  }

  // ── Search: arrows move, Enter chooses
  function choose(link) {
    link.closest("#services")?.classList.add("is-settled");
    for (const other of all("[data-service]")) {
      other.closest("li").classList.toggle("is-chosen", other === link);
      other === link ? other.setAttribute("aria-current", "true") : other.removeAttribute("aria-current");
    }
  }
  document.addEventListener("keydown", (event) => {
    const field = document.querySelector("[data-search]"), at = document.activeElement;
    if (event.key === "Escape") { const menu = at?.closest?.("details.menu-wrap[open]"); if (menu) { menu.open = false; menu.querySelector("summary").focus(); } }
    if (!field || (at !== field && !at?.matches?.("[data-service]"))) return;
    const links = all("[data-service]", document.querySelector(field.dataset.search));
    const place = links.indexOf(at);
    if (event.key === "ArrowDown" && links.length) links[Math.min(place + 1, links.length - 1)].focus();
    else if (event.key === "ArrowUp" && at !== field) (links[place - 1] ?? field).focus();
    else if (event.key === "Escape" && at !== field) field.focus();
    else if (event.key === "Enter" && at === field && field.value && links.length && field.dataset.answered === field.value) links[0].click();
    else return;
    event.preventDefault();
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-filter]")) filter(event.target);
    if (event.target.matches("[data-search]")) document.querySelector(event.target.dataset.search).classList.remove("is-settled");
  });
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  function filter(field) {
    const wanted = plain(field.value.trim());
    for (const item of all("[data-name]", document.querySelector(field.dataset.filter))) item.hidden = !plain(item.dataset.name).includes(wanted);
  }

  // ── Top-up: the balance after it, in the server's own way of writing money
  function showAfter(form) {
    const shape = form.dataset.sample.match(/^(.*?)1(\D)234\2(?:567)(\D)89(.*)$/);
    const typed = form.querySelector("[name=amount]").value.replace(/[,\s]/g, "");
    const added = typed ? Math.round(typed * 100) : +form.querySelector("[name=preset]:checked")?.value;
    const line = form.querySelector("[data-was-is]"), sum = line?.querySelector("ins");
    if (!shape || !sum) return;
    const known = added > 0, after = +form.dataset.balance + Math.max(added - form.dataset.owed, 0); // what is owed is paid first
    for (const part of [sum, sum.previousElementSibling, line.querySelector(".icon")]) part.toggleAttribute("hidden", !known);
    const [whole, rest] = [String(Math.floor(after / 100)), after % 100];
    sum.textContent = shape[1] + whole.replace(/\B(?=(\d{3})+$)/g, shape[2]) + (rest ? shape[3] + String(rest).padStart(2, "0") : "") + shape[4];
  }
  document.addEventListener("input", (event) => { const form = event.target.closest("[data-top-up]"); if (form) showAfter(form); });

  // Another operator has another price: the button says so, and so does the balance after it
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-operator]")) return;
    const { price, after } = event.target.selectedOptions[0].dataset, form = event.target.form;
    for (const [selector, text] of [["button .money", price], ["ins .money", after]]) {
      const shown = form.querySelector(selector);
      if (shown) shown.textContent = text;
    }
  });

  // The session ended: log in, then come back to where you were. What a form's answer showed has no address of its own.
  function logInAgain() {
    const posted = document.getElementById("live")?.hasAttribute("data-posted") && document.referrer;
    const here = posted ? new URL(document.referrer) : location;
    location.assign("/login?next=" + encodeURIComponent(here.pathname + here.search));
  }

  // ── After each swap
  document.addEventListener("htmx:before:response", (event) => {
    const raw = event.detail.ctx?.response?.raw;
    if (raw?.redirected && new URL(raw.url).pathname === "/login") {
      event.preventDefault();
      logInAgain();
    }
  });
  document.addEventListener("htmx:after:swap", (event) => {
    for (const order of all("[data-fetch-again]")) { order.remove(); all("[data-poll]").forEach(poll); }
    tick();
    look(false);
    const ctx = event.detail.ctx, source = ctx?.sourceElement;
    if (source?.matches?.("[data-search]")) {
      source.dataset.answered = source.value;
      announce(document.querySelector(source.dataset.search + " [data-announce]")?.dataset.announce);
    } else if (source?.matches?.("a[hx-get]")) {
      const heading = document.getElementById("offers-h");
      if (heading && matchMedia("(width < 64rem)").matches) heading.closest("section").scrollIntoView();
      heading?.focus({ preventScroll: true });
    }
  });

  // A new account starts in the zone of its browser
  for (const field of all("input[type=hidden][name=timezone]")) field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";

  // htmx reads the page as soon as its own script has run; its socket extension may come later, on a slow line
  const socket = document.getElementById("live");
  if (socket) window.htmx?.process(socket);

  // Logged out in one tab, the others ask who is there too, and come back to where they were after the log-in
  const isMember = !!document.querySelector("script[src*='hx-ws']");
  addEventListener("storage", (event) => { if (event.key === "member" && event.newValue === "no" && isMember) location.reload(); });
  store.set("member", isMember ? "yes" : "no");

  setUpAlerts();
  tick();
  setInterval(tick, 1000);
  look(true);
  document.querySelector("[data-focus]")?.focus();
})();
