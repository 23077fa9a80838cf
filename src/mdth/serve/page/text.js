/** The page's words, one file for each language; English stands in for what one lacks. */

export const LANGUAGES = { en: "English", de: "Deutsch" };
let words = {};
export let language = "en";

const load = async (code) => (await fetch(new URL(`${code}.json`, import.meta.url))).json();

export const t = (key, values = {}) =>
  (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

export const percent = (part) => new Intl.NumberFormat(language, { style: "percent" }).format(part);

/** The language that was chosen here, or the browser's. */
export function wanted() {
  const known = [localStorage.getItem("language"), ...navigator.languages.map((one) => one.slice(0, 2))];
  return known.find((code) => code in LANGUAGES) ?? "en";
}

/** Puts the words into the page: `data-t` text, `data-t-label` and `data-t-placeholder` attributes. */
export async function speak(code) {
  const [english, own] = await Promise.all([load("en"), load(code)]);
  words = { ...english, ...own };
  language = code;
  document.documentElement.lang = code;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.ariaLabel = t(node.dataset.tLabel);
  for (const node of document.querySelectorAll("[data-t-placeholder]")) {
    node.placeholder = t(node.dataset.tPlaceholder);
  }
  document.dispatchEvent(new Event("language"));
}
