// Keeps every file of the site, so that it works without a network. A file is kept only if its
// SHA-256 is the one of the list; a new list makes a new store, and the old one is removed. As long
// as a page of the old site is open, it gets the files of the old site: scripts and what they read
// belong together.

importScripts("site_files.js"); // SITE_FILES: digests by path; SITE_VERSION: of all of them

const STORE = `speech2face-${self.SITE_VERSION}`;
const PAGE = "index.html";

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(removeOthers()));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const path = pathOf(url);
  if (method === "GET" && path in self.SITE_FILES) event.respondWith(kept(path, event.request));
});

async function keepAll() {
  const store = await caches.open(STORE);
  const requests = Object.entries(self.SITE_FILES).map(
    // The host is asked: what the browser has may be of the old site, with another digest.
    ([path, integrity]) => new Request(path, { integrity, cache: "no-cache" }),
  );
  await store.addAll(requests);
}

async function removeOthers() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("speech2face-") && name !== STORE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function kept(path, request) {
  const store = await caches.open(STORE);
  return (await store.match(path)) ?? fetch(request);
}

/** The path of an address inside the site; the site itself is its page. */
function pathOf(url) {
  const { origin, pathname } = new URL(url);
  const { origin: own, href } = new URL("./", self.location);
  if (origin !== own || !pathname.startsWith(new URL(href).pathname)) return "";
  return decodeURIComponent(pathname.slice(new URL(href).pathname.length)) || PAGE;
}
