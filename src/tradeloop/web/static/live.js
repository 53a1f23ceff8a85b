// That something changed comes over the stream; what changed the page fetches itself, so a lost message costs nothing.
(() => {
  const url = "/live";
  const place = document.querySelector("#live-state");
  const topics = (document.body.dataset.live || "").split(" ").filter(Boolean);
  let live = false, since = new Date();
  const clock = (at) => at.toISOString().slice(11, 19) + "Z";
  const show = () => { if (place) place.textContent = live ? `Live, ${clock(new Date())}` : `Not live since ${clock(since)}, reconnecting`; };
  const fetchAll = () => document.body.dispatchEvent(new CustomEvent("live"));
  const vitals = () => window.htmx && htmx.ajax("GET", "/vitals" + (document.body.classList.contains("frame") ? "?frame=1" : ""), { source: "#stopped", target: "#stopped", swap: "none" }).catch(() => {});
  let timer;
  const changed = (told) => {
    show();
    if (!told.length || told.includes("refresh") || told.some((one) => topics.includes(one))) fetchAll();
    if (!timer) timer = setTimeout(() => { timer = undefined; vitals(); }, 1000);
  };
  const message = ({ state, data }) => {
    if (state) {
      const was = live;
      live = state === "live";
      if (was && !live) since = new Date();
      if (!was && live && state) changed([]);
      show();
      return;
    }
    let topic = [];
    try { topic = JSON.parse(data).topics; } catch {}
    changed(topic);
  };
  setInterval(() => { if (live) show(); else { show(); if (!document.hidden) fetchAll(); } }, 10000);
  if (window.SharedWorker) {
    const worker = new SharedWorker(document.currentScript.dataset.worker);
    worker.port.onmessage = (event) => message(event.data);
    worker.port.postMessage(url);
    addEventListener("pagehide", () => worker.port.postMessage("bye"));
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    return;
  }
  let source;
  const begin = () => {
    if (document.hidden) { source?.close(); source = undefined; live = false; return; }
    if (source) return;
    source = new EventSource(url);
    source.onopen = () => message({ state: "live" });
    source.onerror = () => message({ state: "lost" });
    source.onmessage = (event) => message({ data: event.data });
  };
  document.addEventListener("visibilitychange", begin);
  begin();
})();
