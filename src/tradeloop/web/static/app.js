// Keys, copying, the clock, and text that survives. Everything here is comfort: forms and links work without it.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const body = document.body;
  const say = (words) => { const place = $("#status"); if (place) place.textContent = words; };

  // The server's clock, told once and carried on.
  const clock = $("#clock");
  const started = performance.now();
  const base = clock ? Date.parse(clock.dataset.now) : Date.now();
  const now = () => base + performance.now() - started;
  const two = (n) => String(n).padStart(2, "0");
  const remaining = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s <= 0) return "none";
    if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
  };
  let local;
  try { local = new Intl.DateTimeFormat("en-GB", { timeZone: clock?.dataset.zone || "UTC", timeStyle: "long" }); } catch {}
  if (!document.cookie.includes("tradeloop_zone=")) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    document.cookie = `tradeloop_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }
  let before = Infinity;
  const tick = () => {
    const at = new Date(now());
    if (clock) {
      const utc = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}Z`;
      clock.textContent = clock.dataset.zone === "UTC" || !local ? utc : `${utc} (${local.format(at)})`;
    }
    const place = $("#left");
    if (!place) return;
    const ms = Date.parse(place.dataset.deadline) - at;
    place.textContent = remaining(ms);
    for (const minutes of [10, 5, 1]) {
      if (before > minutes * 60000 && ms <= minutes * 60000 && before < Infinity && ms > 0) {
        say(`${minutes} minute${minutes > 1 ? "s" : ""} left to answer`);
      }
    }
    if (before > 0 && ms <= 0 && before < Infinity) body.dispatchEvent(new CustomEvent("live"));
    before = ms;
  };
  tick();
  setInterval(tick, 1000);

  // What was typed is kept until it was sent: over errors, a new sign-in, a reload.
  const kept = () => $("textarea[data-kept]");
  const store = () => `kept:${location.pathname}`;
  const keep = () => { const field = kept(); if (field) { try { sessionStorage.setItem(store(), field.value); } catch {} } };
  const restore = () => {
    const field = kept();
    let text = "";
    try { text = sessionStorage.getItem(store()) || ""; } catch {}
    if (field) { if (!field.value && text && !$("#offered")) field.value = text; return; }
    const place = $("#typed-kept");
    if (place && text && !$("#typed") && !place.dataset.sent) {
      place.textContent = `You had typed: ${text}`;
      place.hidden = false;
    }
    if (place?.dataset.sent) { try { sessionStorage.removeItem(store()); } catch {} }
  };
  document.addEventListener("input", (event) => {
    if (event.target.matches("textarea[data-kept]")) keep();
    if (event.target.name === "relied_on") relied();
  });
  const relied = () => {
    const place = $("#relied");
    if (place) place.textContent = [...document.querySelectorAll("input[name=relied_on]:checked")].map((b) => b.value).join(" ") || "none ticked";
  };
  const ready = () => { restore(); relied(); };
  ready();

  // Copying: where the browser forbids it, the text is selected instead.
  const copy = (text, button) => {
    const select = () => {
      const range = document.createRange();
      const beside = button.previousElementSibling;
      if (beside) { range.selectNodeContents(beside); getSelection().removeAllRanges(); getSelection().addRange(range); say("selected: Ctrl+C copies"); }
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => say("copied"), select);
    else select();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy],[data-insert]");
    if (!button) return;
    if ("copy" in button.dataset) { copy(button.dataset.copy, button); return; }
    const field = kept();
    if (field) {
      field.value = (field.value.trim() ? `${field.value.trim()}; ` : "") + button.dataset.insert;
      field.focus();
      keep();
    }
  });

  // Fragments: words for those who listen, and the choice that was made.
  let choice = "";
  document.addEventListener("htmx:after:swap", () => {
    ready();
    choose(choice);
    const heading = $("#answer [autofocus]");
    if (heading) { heading.focus(); say($("#answer h2")?.textContent || ""); }
  });
  document.addEventListener("htmx:error", () => say("The server did not answer. Nothing was sent; try again."));

  const choose = (word) => {
    const form = $("#answer-form");
    choice = form ? word : "";
    if (!form) return;
    for (const button of form.querySelectorAll("button[name=answer]")) button.classList.toggle("chosen", button.value === word);
    const line = $("#choice");
    if (line) line.textContent = word ? `Ctrl+Enter ${word}s. Esc clears the choice.` : "";
  };
  const send = () => {
    const button = choice && $(`#answer-form button[name=answer][value=${choice}]`);
    if (button && !button.disabled) { button.form.requestSubmit(button); return; }
    if ($("#answer-form")) say("Choose first: a approves, r rejects.");
  };

  // Single keys; never in a field, never with a modifier, and not at all where they are switched off.
  const places = { i: "/inbox", r: "/runs", d: "/desks", l: "/dead-letters", s: "/switch" };
  let went = 0;
  const rows = () => [...document.querySelectorAll("table.list tbody tr")].filter((row) => $("a", row));
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.hasAttribute("aria-current"));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    all[at]?.removeAttribute("aria-current");
    next.setAttribute("aria-current", "true");
    $("a", next).focus();
  };
  const actions = {
    "/": () => $("#find")?.focus(),
    "?": () => { location.href = "/help"; },
    j: () => move(1),
    k: () => move(-1),
    u: () => { location.href = location.pathname.startsWith("/approvals") ? "/inbox" : `/${location.pathname.split("/")[1]}`; },
    n: () => { location.href = $("#next")?.href || "/inbox/next"; },
    e: () => { const place = $("#h-evidence"); if (place) { place.tabIndex = -1; place.focus(); place.scrollIntoView(); } },
    x: () => { const place = $("#proposal button, #proposal summary"); if (place) { place.click(); place.scrollIntoView(); } },
    c: () => $("#copy-digest")?.click(),
    a: () => { if ($("#answer-form")) { choose("approve"); $("#reason").focus(); } },
    r: () => { if ($("#answer-form")) { choose("reject"); $("#reason").focus(); } },
  };
  document.addEventListener("keydown", (event) => {
    const field = event.target.matches?.("input:not([type=checkbox]),textarea,select");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); return; }
    if (event.key === "Escape") {
      if ($("#stop[open]")) { $("#stop").open = false; $("#stop summary").focus(); } else if (choice) choose(""); else if (field) event.target.blur();
      return;
    }
    if (field || event.ctrlKey || event.metaKey || event.altKey || body.dataset.keys !== "on") return;
    if (Date.now() - went < 1000 && places[event.key]) { went = 0; location.href = places[event.key]; return; }
    if (event.key === "g") { went = Date.now(); return; }
    went = 0;
    const action = actions[event.key];
    if (action) { event.preventDefault(); action(); }
  });
})();
