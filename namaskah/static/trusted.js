// htmx makes elements out of the text of answers; under the content policy (namaskah/headers.py) this alone may do so.
// The policy makes no scripts: one that arrived in a fragment would not run.
htmx.registerExtension("trusted", {
  init: (api) => api.initSecurity(window.trustedTypes?.createPolicy("htmx", { createHTML: (text) => text })),
});
