"use strict";
// The list of questions: filled as it is looked at. Texts are only ever set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [ANSWER, FOUND, CONFIDENCE, SCORE, MS, TOKENS, ERROR, HITS, HOPS, CITED] =
    Array(10).keys();
  const PAGE = 50, EVEN = 1e-9;
  const by = (id) => document.getElementById(id);
  const make = (name, kind, words) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (words !== undefined) made.textContent = words;
    return made;
  };
  const names = (numbers) => numbers.map((one) => data.docs[one]);
  const shown = (value) => (value === null ? "–" : String(value));

  const WHICH = {
    "all questions": () => true,
    "A better": (a, b) => decided(a, b) && a[SCORE] > b[SCORE] + EVEN,
    "B better": (a, b) => decided(a, b) && b[SCORE] > a[SCORE] + EVEN,
    "both right": (a, b) => decided(a, b) && a[SCORE] >= 1 && b[SCORE] >= 1,
    "both wrong": (a, b) => decided(a, b) && a[SCORE] <= 0 && b[SCORE] <= 0,
    "answers differ": (a, b) => a && b && a[ANSWER] !== b[ANSWER],
    "failed": (a, b) => Boolean((a && a[ERROR]) || (b && b[ERROR])),
  };
  const decided = (a, b) => a && b && a[SCORE] !== null && b[SCORE] !== null;

  const fill = (select, options, chosen) => {
    options.forEach(([value, words]) => {
      const option = make("option", "", words);
      option.value = value;
      select.append(option);
    });
    select.value = chosen;
  };
  const paths = data.paths.map((name, place) => [String(place), name]);
  const first = Math.max(0, data.paths.indexOf("msa"));
  fill(by("side-a"), paths, String(first));
  fill(by("side-b"), paths, String(data.paths.length > 1 ? (first === 0 ? 1 : 0) : first));
  fill(by("which"), Object.keys(WHICH).map((one) => [one, one]), "all questions");

  const badge = (row, a, b) => {
    if (!decided(a, b)) return ["even", "not decided"];
    if (a[SCORE] > b[SCORE] + EVEN) return ["win", "A"];
    if (b[SCORE] > a[SCORE] + EVEN) return ["loss", "B"];
    return ["even", "even"];
  };

  const documents = (numbers, evidence) => {
    const list = make("span", "documents");
    numbers.forEach((one) => {
      const gold = evidence.includes(one);
      list.append(make("code", gold ? "gold" : "", data.docs[one] + (gold ? " ✓" : "")), " ");
    });
    return list;
  };

  const trace = (hop, place, evidence) => {
    const item = make("li");
    const ms = hop[2] === null ? "" : `, ${hop[2]} ms`;
    item.append(make("b", "", `hop ${place + 1}`), ` routed to ${hop[3]}${ms}: `);
    item.append(documents(hop[0], evidence));
    if (hop[0].length < hop[3]) item.append("…");
    if (hop[1].length) item.append(make("br"), "read: ", documents(hop[1], evidence));
    return item;
  };

  const side = (letter, path, result, evidence) => {
    const box = make("div", "side");
    box.append(make("h4", "", `${letter}: ${data.paths[path]}`));
    if (!result) return box.append(make("p", "", "not asked")), box;
    if (result[ERROR]) return box.append(make("p", "failed", result[ERROR])), box;
    const answer = result[FOUND] ? result[ANSWER] : "not in memory";
    box.append(make("p", result[FOUND] ? "answer" : "answer none", answer));
    const facts = [`score ${shown(result[SCORE])}`, `confidence ${shown(result[CONFIDENCE])}`];
    facts.push(`${shown(result[MS])} ms`, `${result[TOKENS]} tokens read`);
    box.append(make("p", "note", facts.join(" · ")));
    result[CITED].forEach(([document_, title, quote]) => {
      const cited = make("blockquote", "", quote);
      cited.append(make("cite", "", `${title || data.docs[document_]} (${data.docs[document_]})`));
      box.append(cited);
    });
    const hops = make("ol", "hops");
    result[HOPS].forEach((hop, place) => hops.append(trace(hop, place, evidence)));
    box.append(hops);
    if (!result[HOPS].length && result[HITS].length) {
      box.append(make("p", "note", "found:"), documents(result[HITS], evidence));
    }
    return box;
  };

  const open = (details, row, a, b) => {
    const none = row.n ? "there is no answer: to abstain is right" : "not known";
    const gold = row.g.length ? row.g.join(" / ") : none;
    const right = make("p", "gold-answer");
    right.append(make("b", "", "gold: "), gold);
    details.append(right);
    if (row.e.length) {
      const needed = make("p", "note", "evidence: ");
      needed.append(documents(row.e, row.e));
      details.append(needed);
    }
    const sides = make("div", "sides");
    sides.append(side("A", a, row.r[a], row.e));
    if (a !== b) sides.append(side("B", b, row.r[b], row.e));
    details.append(sides);
  };

  const item = (row, a, b) => {
    const details = make("details");
    const summary = make("summary");
    const [kind, words] = badge(row, row.r[a], row.r[b]);
    summary.append(make("span", `badge ${kind}`, words), make("span", "words", row.q));
    if (row.i) summary.append(make("span", "id", row.i));
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) open(details, row, a, b);
    });
    return details;
  };

  let matching = [], upTo = 0;
  const more = () => {
    const [a, b] = [Number(by("side-a").value), Number(by("side-b").value)];
    const next = matching.slice(upTo, upTo + PAGE).map((row) => item(row, a, b));
    by("questions").append(...next);
    upTo += next.length;
    by("more").hidden = upTo >= matching.length;
    by("count").textContent = `${matching.length} of ${data.rows.length} questions`;
  };
  const again = () => {
    const [a, b] = [Number(by("side-a").value), Number(by("side-b").value)];
    const words = by("words").value.trim().toLowerCase();
    const which = WHICH[by("which").value];
    const says = (row) =>
      !words ||
      [row.q, row.i, ...row.g, ...names(row.e), ...row.r.map((one) => (one ? one[ANSWER] : ""))]
        .some((one) => one.toLowerCase().includes(words));
    matching = data.rows.filter((row) => which(row.r[a], row.r[b]) && says(row));
    upTo = 0;
    by("questions").replaceChildren();
    more();
  };
  ["side-a", "side-b", "which"].forEach((id) => by(id).addEventListener("change", again));
  by("words").addEventListener("input", again);
  by("more").addEventListener("click", more);
  again();
})();
