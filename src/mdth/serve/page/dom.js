/** Small helpers for the page's elements. */

import { t } from "./text.js";

export const $ = (id) => document.getElementById(id);

/** @param {string} tag @param {object} properties of the element; `data` is its dataset */
export function make(tag, { data = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, data);
  node.append(...children);
  return node;
}

export function show(node, shown = true) {
  node.hidden = !shown;
}

/** An error where it arose: `place` is "face", "voice", "job" ...; null clears it. */
export function complain(place, problem) {
  const node = $(`${place}-error`);
  node.textContent = problem?.message ?? "";
  $(`${place}-drop`)?.classList.toggle("wrong", Boolean(problem));
}

/** Files dropped on `node` or picked with its input go to `take`. */
export function takesFiles(node, take) {
  const input = node.querySelector("input[type=file]");
  input.addEventListener("change", () => {
    if (input.files[0]) take(input.files[0]);
    input.value = "";
  });
}

export const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

/** What a file is: "picture", "clip", "sound", or "" */
export function kindOf(file) {
  if (/^image\//.test(file.type) || /\.(heic|heif|avif|jxl)$/i.test(file.name)) return "picture";
  if (/^video\//.test(file.type) || /\.(mkv|avi|ts|mts|m2ts|mxf)$/i.test(file.name)) return "clip";
  if (/^audio\//.test(file.type) || /\.(amr|opus|flac|wma|aiff?)$/i.test(file.name)) return "sound";
  return "";
}

export class Plain extends Error {
  /** A problem in the words of the texts' file. */
  constructor(key, values) {
    super(t(key, values));
  }
}
