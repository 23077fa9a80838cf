/** The server: problems become errors with words, a missing key is asked for, jobs are watched. */

import { $, complain, Plain } from "./dom.js";
import { t } from "./text.js";

export const BASE = new URL("v1/", document.baseURI);
const SOON_MS = 1000;
const SELDOM_MS = 10000;
const TRIES = 30;

export class Problem extends Error {
  /** @param {{title?: string, detail?: string, status: number, field?: string}} about RFC 9457 */
  constructor({ title, detail, status, field, type = "" }) {
    super(detail || title || t("error.other", { status }));
    Object.assign(this, { status, field, kind: type.split(":").pop() });
  }
}

const offline = () => new Problem({ status: 0, detail: t("error.offline") });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function parsed(text, status) {
  try {
    return { ...JSON.parse(text), status };
  } catch {
    return { status };
  }
}

let unlocking = null;

/** Asks for the key until the server takes it; many may wait for one answer. */
function unlock() {
  unlocking ??= new Promise((done) => {
    const dialog = $("lock");
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onsubmit = async (event) => {
      event.preventDefault();
      complain("lock", null);
      const body = JSON.stringify({ key: $("key").value });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(new URL("session", BASE), { method: "POST", body, headers }).catch(offline);
      if (!answer.ok) return complain("lock", answer.status ? new Plain("lock.wrong") : answer);
      dialog.close();
      unlocking = null;
      done();
    };
    dialog.showModal();
  });
  return unlocking;
}

/** The JSON that the server answers, null for none. Throws Problem. */
export async function call(path, options = {}) {
  for (;;) {
    const answer = await fetch(new URL(path, BASE), options).catch(() => Promise.reject(offline()));
    if (answer.status === 401) await unlock();
    else if (!answer.ok) throw new Problem(parsed(await answer.text(), answer.status));
    else return answer.status === 204 ? null : answer.json();
  }
}

function once(path, form, { key, progress, signal }) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", new URL(path, BASE));
    request.setRequestHeader("Idempotency-Key", key);
    request.upload.onprogress = (event) => progress?.((100 * event.loaded) / event.total);
    request.onload = () => {
      const body = parsed(request.responseText, request.status);
      return request.status < 300 ? done(JSON.parse(request.responseText)) : fail(new Problem(body));
    };
    request.onerror = () => fail(offline());
    request.onabort = () => fail(new DOMException("", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Sends a form; a connection that breaks is tried again with the same key, so that nothing is made twice. */
export async function send(path, form, { progress, signal } = {}) {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16)).join("-");
  for (let left = TRIES; ; left--) {
    try {
      return await once(path, form, { key, progress, signal });
    } catch (problem) {
      if (problem.status === 401) await unlock();
      else if ((problem.status === 0 || problem.status === 503) && left) await pause(SOON_MS);
      else throw problem;
    }
  }
}

export const pathOf = (id) => `${id.split("_")[0]}s/${id}`;
export const ended = (job) => !["queued", "in_progress"].includes(job.status);

/**
 * Tells of a job until it has ended: told by the server's events, and by asking where they are lost
 * (a restart, a proxy that holds them back).
 * @param {(job: object|null, problem?: Problem) => void} tell null where the server does not answer
 * @returns {() => void} stops watching
 */
export function watch(id, tell) {
  let events = null;
  let timer = 0;
  let over = false;
  const stop = () => {
    over = true;
    clearTimeout(timer);
    events?.close();
  };
  const heard = (job) => {
    if (over) return;
    if (ended(job)) stop();
    tell(job);
  };
  const ask = async () => {
    try {
      heard(await call(pathOf(id)));
      if (!over && events?.readyState !== EventSource.OPEN) {
        events?.close();
        events = new EventSource(new URL(`${pathOf(id)}/events`, BASE));
        events.addEventListener("status", (event) => heard(JSON.parse(event.data)));
        events.onerror = () => events.close();
      }
    } catch (problem) {
      if (over) return;
      const final = problem.status >= 400 && problem.status < 500 && problem.status !== 429;
      if (final) stop();
      tell(null, final ? problem : undefined);
    }
    if (!over) timer = setTimeout(ask, events?.readyState === EventSource.OPEN ? SELDOM_MS : SOON_MS);
  };
  ask();
  return stop;
}
