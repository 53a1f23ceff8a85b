// One event stream a browser, however many windows: six connections a host are all there are.
const ports = new Set();
let source, state = "connecting";
const tell = (message) => { for (const port of ports) port.postMessage(message); };
const open = (url) => {
  source = new EventSource(url);
  source.onopen = () => { state = "live"; tell({ state }); };
  source.onerror = () => {
    state = "lost"; tell({ state });
    if (source.readyState === 2) setTimeout(() => open(url), 5000);
  };
  source.onmessage = (event) => tell({ data: event.data });
};
onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = (message) => {
    if (message.data === "bye") { ports.delete(port); return; }
    if (!source) open(message.data); else port.postMessage({ state });
  };
};
