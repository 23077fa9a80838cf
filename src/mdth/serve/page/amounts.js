/** Step 3: how much moves: sliders and choices made from the server's table of options. */

import { $, make } from "./dom.js";
import { isDub } from "./face.js";
import { percent, t } from "./text.js";

const SHOWN = ["mouth", "motion", "blink", "manner"];
let schemas = { talk: {}, dub: {} };
let chosen = {};

const schema = () => schemas[isDub() ? "dub" : "talk"];
const shown = () => SHOWN.filter((name) => name in schema());

/** What was chosen, without what is as usual. */
export const amounts = () =>
  Object.fromEntries(shown().filter((name) => chosen[name] !== schema()[name].default).map((name) => [name, chosen[name]]));

function slider(name, { minimum, maximum }) {
  const value = make("output", { textContent: percent(chosen[name]) });
  const input = make("input", { type: "range", name, min: minimum, max: maximum, step: 0.1, value: chosen[name] });
  input.oninput = () => {
    chosen[name] = Number(input.value);
    value.textContent = percent(chosen[name]);
  };
  return make("label", { className: "field slide" }, make("span", { textContent: t(`amount.${name}`) }), value, input);
}

function choice(name, values) {
  const labels = values.map((value) => {
    const radio = make("input", { type: "radio", name, value, checked: chosen[name] === value });
    radio.onchange = () => (chosen[name] = value);
    return make("label", {}, radio, make("span", { textContent: t(`${name}.${value}`) }));
  });
  const legend = make("legend", { textContent: t(`amount.${name}`) });
  return make("fieldset", { className: "field" }, legend, make("div", { className: "choice" }, ...labels));
}

function render() {
  $("amounts").replaceChildren(
    ...shown().map((name) => (schema()[name].enum ? choice(name, schema()[name].enum) : slider(name, schema()[name]))),
  );
}

function reset() {
  chosen = Object.fromEntries(Object.entries(schemas.talk).map(([name, about]) => [name, about.default]));
  render();
}

export function startAmounts({ talk, dub }) {
  schemas = { talk: talk.properties, dub: dub.properties };
  reset();
  $("amounts-reset").onclick = reset;
  document.addEventListener("kind", render); // a dub has less to choose
  document.addEventListener("language", render);
}
