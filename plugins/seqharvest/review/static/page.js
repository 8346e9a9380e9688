// The review page: the list of projects, or one project with its verdicts and the decision.
"use strict";
const ASKED = new URLSearchParams(location.search), MAIN = document.querySelector("main");
const WORST_FIRST = { fail: 0, none: 1, warn: 2, pass: 3 };
const SAID = { awaiting_review: "waits for review", approved: "approved", rejected: "rejected", analysing: "being analysed",
               loaded: "in the lake", fetching: "being fetched", qc: "in QC", registered: "registered", failed: "failed" };
const draws = [];  // of the plots, again when size or theme change

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) node[name] = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  node.append(...children.filter(child => child != null));
  return node;
}

function number(n) { return n.toLocaleString("en").replaceAll(",", "\u2009"); }
function plural(n, word) { return `${number(n)} ${word}${n === 1 ? "" : "s"}`; }

function value(column, n) {
  if (typeof n !== "number") return "–";
  if (column.unit === "share") return `${(100 * n).toFixed(100 * n < 1 ? 2 : 1)} %`;
  return Math.abs(n) >= 100 || Number.isInteger(n) ? number(Math.round(n)) : n.toPrecision(3);
}

function since(moment) {
  const minutes = Math.max(0, Math.round((Date.now() - Date.parse(moment)) / 60000));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`;
}

function when(moment) { return moment ? `${moment.slice(0, 16).replace("T", " ")} UTC` : ""; }

async function ask(path, options = {}) {
  const reply = await fetch(path, { credentials: "same-origin", ...options, headers: { Accept: "application/json", ...options.headers } });
  const found = await reply.json().catch(() => ({}));
  if (reply.ok) return found;
  const detail = typeof found.detail === "string" ? found.detail : reply.statusText;
  const error = new Error(reply.status === 401 ? "Your session has expired. Sign in to Airflow again, then come back: nothing was decided." : detail);
  error.status = reply.status;
  throw error;
}

function tell(text, bad = false) {
  const box = document.querySelector("#told");
  box.textContent = text;
  box.classList.toggle("bad", bad);
}

function counts(of) {
  const parts = Object.entries(of || {}).filter(([, n]) => n);
  return make("span", {}, ...parts.flatMap(([verdict, n], at) => [at ? " · " : "",
    make("span", { class: { failed: "none" }[verdict] || verdict }, `${number(n)} ${verdict === "failed" ? "without QC" : verdict}`)]));
}

// ---- the list

function list(projects) {
  const waiting = projects.filter(project => project.state === "awaiting_review");
  const others = projects.filter(project => project.state !== "awaiting_review").sort((a, b) => b.state_since.localeCompare(a.state_since));
  document.title = `QC review (${waiting.length})`;
  MAIN.replaceChildren(
    make("header", {}, make("h1", {}, "QC review"), make("p", { class: "note" }, waiting.length ? `${plural(waiting.length, "project")} ${waiting.length === 1 ? "waits" : "wait"} for a decision.` : "No project waits for a decision.")),
    ...(waiting.length ? [projectTable("Waiting", waiting)] : []), ...(others.length ? [projectTable("Decided", others)] : []));
}

function projectTable(title, projects) {
  const rows = projects.map(project => make("tr", {},
    make("td", {}, make("a", { href: `?project=${encodeURIComponent(project.project)}`, class: "name" }, project.project)),
    make("td", { class: "why" }, project.title || ""), make("td", {}, project.organism || ""),
    make("td", {}, counts(project.verdict_counts)), make("td", {}, SAID[project.state] || project.state),
    make("td", { title: when(project.state_since) }, since(project.state_since)),
    make("td", {}, project.reviewed_by || "")));
  const heads = ["Project", "Title", "Organism", "Samples", "State", "Since", "Decided by"];
  return make("section", {}, make("h2", {}, title), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
    make("table", {}, make("thead", {}, make("tr", {}, ...heads.map(head => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows))));
}

// ---- one project

function project(found) {
  const about = found.project, byName = new Map(found.samples.map(row => [row.sample, row]));
  const waits = about.state === "awaiting_review" && found.current;
  document.title = `${about.project}: QC review`;
  const table = samples(found, waits);
  MAIN.replaceChildren(heading(found), make("div", {}, decisionForm(found, table, waits)), table.section,
    ...plots(found, byName, table.show), ...(found.has_report ? [report(about.project)] : []), metadata(about), history(found.decisions));
  table.count();
  requestAnimationFrame(redraw);
}

function heading(found) {
  const about = found.project, verdict = found.verdict;
  return make("header", {},
    ASKED.has("run_id") ? null : make("a", { href: "?", class: "soft" }, "← All projects"),
    make("h1", {}, about.project, about.title ? `: ${about.title}` : ""),
    make("p", { class: "note" }, [about.organism, about.release, `${SAID[about.state] || about.state} since ${when(about.state_since)}`].filter(Boolean).join(" · ")),
    make("p", { class: "note" }, counts(about.verdict_counts)),
    verdict.verdict ? make("p", { class: "note" }, "The project as a whole: ", make("span", { class: `verdict ${verdict.verdict}` }, verdict.verdict),
      verdict.reasons.length ? `, ${verdict.reasons.join("; ")}` : "") : null);
}

function samples(found, waits) {
  const kept = new Set(found.project.include || []), excluded = new Set(found.project.excluded || []);
  const suggested = new Set(found.suggested), decidable = row => !["none"].includes(row.verdict) && row.state !== "failed";
  const entries = found.samples.map(row => entry(row));
  const body = make("tbody"), shown = make("span", { class: "soft", role: "status" });
  let verdict = "", sorted = { key: "verdict", up: true };

  function entry(row) {
    const leave = waits ? suggested.has(row.sample) || row.state === "excluded"
      : excluded.has(row.sample) || row.state === "excluded" || (row.verdict === "fail" && !kept.has(row.sample));
    const box = make("input", { type: "checkbox", "aria-label": `analyse ${row.sample}`, disabled: !waits || !found.may_decide || !decidable(row) });
    box.checked = decidable(row) && !leave;
    const line = make("tr", { tabindex: "-1", "data-sample": row.sample },
      make("td", {}, box), make("td", { class: "name", title: row.title }, row.sample),
      make("td", {}, make("span", { class: `verdict ${row.verdict}` }, row.verdict)),
      make("td", { class: "why" }, make("ul", {}, ...row.reasons.map(reason => make("li", {}, reason)))),
      make("td", {}, row.strandedness), ...found.columns.map(column =>
        make("td", { class: `number ${row.by_metric[column.name] === "pass" ? "" : row.by_metric[column.name] || ""}` }, value(column, row.metrics[column.name]))));
    const made = { row, line, box, text: [row.sample, row.title, row.verdict, row.strandedness, ...row.runs, ...row.reasons, ...Object.values(row.metadata)].join(" ").toLowerCase() };
    box.onchange = () => mark(made);
    mark(made, false);
    return made;
  }

  function mark(made, tellCount = true) {
    made.line.classList.toggle("out", !made.box.checked);
    if (tellCount) api.count();
  }

  const keys = { sample: e => e.row.sample, verdict: e => WORST_FIRST[e.row.verdict], why: e => e.row.reasons.join("; "), strand: e => e.row.strandedness, analyse: e => e.box.checked ? 1 : 0 };
  for (const column of found.columns) keys[column.name] = e => e.row.metrics[column.name];
  const heads = [["analyse", "Analyse"], ["sample", "Sample"], ["verdict", "Verdict"], ["why", "Why"], ["strand", "Strand"], ...found.columns.map(c => [c.name, c.title])]
    .map(([key, title]) => make("th", { scope: "col", "data-key": key }, make("button", { type: "button", onclick: () => sort(key) }, title)));

  function sort(key) {
    sorted = { key, up: sorted.key === key ? !sorted.up : true };
    arrange();
  }

  function arrange() {
    const of = keys[sorted.key], sign = sorted.up ? 1 : -1, missing = v => v === undefined || v === null;
    entries.sort((a, b) => {
      const [x, y] = [of(a), of(b)];
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y) || a.row.sample.localeCompare(b.row.sample);
    });
    for (const head of heads)
      if (head.dataset.key === sorted.key) head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    body.append(...entries.map(e => e.line));
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const e of entries) {
      e.line.hidden = Boolean(verdict && e.row.verdict !== verdict) || !words.every(word => e.text.includes(word));
      n += !e.line.hidden;
    }
    shown.textContent = n === entries.length ? plural(n, "sample") : `${number(n)} of ${plural(entries.length, "sample")}`;
  }

  const search = make("input", { type: "search", placeholder: "Search samples, reasons, metadata", "aria-label": "Search samples", oninput: filter });
  const chips = ["fail", "warn", "pass", "none"].filter(v => entries.some(e => e.row.verdict === v)).map(v =>
    make("button", { type: "button", "aria-pressed": "false", class: v, onclick: event => {
      verdict = verdict === v ? "" : v;
      for (const chip of chips) chip.setAttribute("aria-pressed", String(chip === event.currentTarget && verdict === v));
      filter();
    } }, `${number(entries.filter(e => e.row.verdict === v).length)} ${v === "none" ? "without QC" : v}`));

  function visible() { return entries.filter(e => !e.line.hidden); }
  function step(by) {
    const all = visible(), at = all.findIndex(e => e.line === document.activeElement);
    all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))]?.line.focus();
  }
  document.onkeydown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("textarea, input[type=search]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const at = entries.find(e => e.line === document.activeElement);
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 };
    if (event.key === "/") search.focus();
    else if ((event.key === "j" || event.key === "k" || at) && event.key in steps) step(steps[event.key]);
    else if (at && (event.key === "x" || event.key === " ")) { if (!at.box.disabled) { at.box.checked = !at.box.checked; mark(at); } }
    else if (at && event.key === "Enter") details(at);
    else return;
    event.preventDefault();
  };
  function details(e) {
    const open = e.line.nextSibling?.classList?.contains("details");
    if (open) { e.line.nextSibling.remove(); return; }
    const facts = [["Title", e.row.title], ["Runs", e.row.runs.join(", ")], ["Layout", e.row.layout], ["State", e.row.state],
      ...Object.entries(e.row.metadata).map(([name, said]) => [name, typeof said === "object" ? JSON.stringify(said) : String(said)])].filter(([, said]) => said);
    e.line.after(make("tr", { class: "details" }, make("td", { colspan: heads.length },
      make("dl", {}, ...facts.flatMap(([name, said]) => [make("dt", {}, name), make("dd", {}, said)])))));
  }
  body.ondblclick = event => { const e = entries.find(e => e.line === event.target.closest("tr")); if (e) details(e); };

  const api = {
    excluded: () => entries.filter(e => decidable(e.row) && !e.box.checked).map(e => e.row.sample),
    included: () => entries.filter(e => e.box.checked && ["qc_failed", "excluded"].includes(e.row.state)).map(e => e.row.sample),
    chosen: () => entries.filter(e => e.box.checked).length,
    onCount: () => {}, count() { api.onCount(); },
    show(name) {
      const e = entries.find(one => one.row.sample === name);
      if (!e) return;
      if (e.line.hidden) { search.value = ""; verdict = ""; chips.forEach(chip => chip.setAttribute("aria-pressed", "false")); filter(); }
      e.line.focus();
      e.line.scrollIntoView({ block: "center" });
    },
  };
  arrange();
  filter();
  if (entries.length) entries[0].line.tabIndex = 0;
  api.section = make("section", {}, make("h2", {}, "Samples"), make("div", { class: "row" }, search, ...chips, shown),
    make("p", { class: "note keys" }, make("kbd", {}, "j"), " ", make("kbd", {}, "k"), " move, ", make("kbd", {}, "x"), " exclude or include, ",
      make("kbd", {}, "Enter"), " metadata, ", make("kbd", {}, "/"), " search"),
    make("div", { class: "scroll", role: "region", "aria-label": "Samples", tabindex: "0" },
      make("table", { class: "samples" }, make("thead", {}, make("tr", {}, ...heads)), body)));
  return api;
}

function decisionForm(found, table, waits) {
  const about = found.project, last = found.decisions[0];
  const box = make("section", { "aria-label": "Decision" }, make("h2", {}, "Decision"));
  if (!waits) {
    if (about.state === "awaiting_review") box.append(make("p", { class: "trouble" }, "The report in the bucket is not the one the registry knows: QC runs again. Look again when it has ended."));
    else if (last && !last.stale && about.review_decision) box.append(make("p", {}, ...sentence(last)));
    else box.append(make("p", { class: "note" }, `Nothing to decide: the project is ${SAID[about.state] || about.state}.`));
    return box;
  }
  if (last?.stale) box.append(make("p", { class: "warn" }, `The verdicts changed since ${last.reviewed_by} had ${last.review_decision} them: it must be decided again.`));
  if (!found.may_decide) { box.append(make("p", { class: "note" }, "You may look, but not decide.")); return box; }
  const comment = make("textarea", { "aria-label": "Comment", placeholder: "Comment, kept with the decision", maxlength: "4000" });
  const summary = make("p", { class: "note", role: "status" });
  const approve = make("button", { class: "go", type: "button" }), reject = make("button", { class: "stop", type: "button" }, "Reject the project");
  let sure = null;  // a rejection is clicked twice: the frame allows no dialogs
  table.onCount = () => {
    const out = table.excluded().length, n = table.chosen();
    approve.textContent = `Approve ${plural(n, "sample")}`;
    approve.disabled = !n;
    summary.textContent = `${plural(n, "sample")} will be analysed, ${number(out)} excluded. You decide as ${found.user}.`;
  };
  reject.onclick = () => {
    if (sure) { clearTimeout(sure); sure = null; send("rejected"); return; }
    reject.textContent = "Reject: click again to confirm";
    sure = setTimeout(() => { sure = null; reject.textContent = "Reject the project"; }, 6000);
  };
  approve.onclick = () => send("approved");
  async function send(decision) {
    const approved = decision === "approved";
    approve.disabled = reject.disabled = true;
    try {
      await ask(`api/projects/${encodeURIComponent(about.project)}/decision`, {
        method: "POST", headers: { "Content-Type": "application/json", "X-Seqharvest-Review": "1" },
        body: JSON.stringify({ decision, seen: found.seen, comment: comment.value.trim(), exclude: approved ? table.excluded() : [], include: approved ? table.included() : [] }),
      });
      await load();
      tell(`${about.project} is ${decision}.`);
    } catch (error) {
      tell(error.message, true);
      if (error.status === 409) await load(); else { reject.disabled = false; table.count(); }
    }
  }
  box.append(summary, comment, make("div", { class: "row" }, approve, reject));
  return box;
}

function plots(found, byName, show) {
  const rows = found.samples.filter(row => row.verdict !== "none"), sections = [];
  if (rows.length && found.columns.length) {
    const strips = found.columns.map(column => {
      const canvas = make("canvas", { role: "img", "aria-label": `${column.title} of ${plural(rows.length, "sample")}; the table has the numbers` });
      draws.push(strip(canvas, column, rows, name => `${name}: ${value(column, byName.get(name).metrics[column.name])}`, show));
      const limits = LIMITS.filter(([name]) => name in column).map(([name, verdict]) => `${verdict} ${name.endsWith("below") ? "<" : ">"} ${value(column, column[name])}`);
      return make("figure", {}, make("figcaption", {}, make("span", {}, column.title), make("span", {}, limits.join(" · "))), canvas);
    });
    sections.push(make("section", {}, make("h2", {}, "Metrics"), make("p", { class: "note" }, "A dot is a sample: click it to find it in the table."), make("div", { class: "strips" }, ...strips)));
  }
  const { pca, correlation } = found.comparison, figures = [];
  if (pca?.explained?.length > 1) {
    const canvas = make("canvas", { role: "img", "aria-label": "Samples on the first two principal components" });
    draws.push(components(canvas, pca, name => byName.get(name)?.verdict || "none", name => name, show));
    figures.push(make("figure", {}, make("figcaption", {}, make("span", {}, "Principal components"),
      make("span", {}, `${pca.explained.slice(0, 2).map(part => `${Math.round(100 * part)} %`).join(", ")}`)), canvas));
  }
  if (correlation?.samples?.length > 1) {
    const canvas = make("canvas", { role: "img", "aria-label": "Correlation of samples" });
    draws.push(heatmap(canvas, correlation, show));
    figures.push(make("figure", {}, make("figcaption", {}, make("span", {}, "Correlation of samples"), make("span", {}, "dark is unlike")), canvas));
  }
  if (figures.length) sections.push(make("section", {}, make("h2", {}, "Samples against each other"), make("div", { class: "plots" }, ...figures)));
  return sections;
}

function report(name) {
  const box = make("details", {}, make("summary", {}, "MultiQC report"));
  box.ontoggle = async () => {
    box.querySelectorAll("iframe, .trouble").forEach(node => node.remove());
    if (!box.open) return;
    try {
      const { url } = await ask(`api/projects/${encodeURIComponent(name)}/report`);
      box.append(make("iframe", { src: url, title: "MultiQC report", sandbox: "allow-scripts allow-same-origin allow-downloads", referrerpolicy: "no-referrer" }));
    } catch (error) { box.append(make("p", { class: "trouble" }, error.message)); }
  };
  return make("section", {}, box);
}

function metadata(about) {
  const facts = [["Source", about.source], ["Release", about.release], ["Round", about.round], ["Thresholds", about.thresholds_version], ["DAG run", about.run_id], ["Reason", about.reason]];
  return make("section", {}, make("h2", {}, "About"), make("dl", {}, ...facts.filter(([, said]) => said).flatMap(([name, said]) => [make("dt", {}, name), make("dd", {}, String(said))])));
}

function sentence(record) {
  const left = record.excluded?.length ? `, without ${record.excluded.length > 12 ? plural(record.excluded.length, "sample") : record.excluded.join(", ")}` : "";
  return [make("b", { class: record.review_decision === "approved" ? "pass" : "fail" }, record.review_decision),
    ` by ${record.reviewed_by} on ${when(record.reviewed_at)} (${record.review_way})${left}`,
    record.review_comment ? `: ${record.review_comment}` : "",
    ` · verdicts ${record.reviewed_hash || "–"}, thresholds ${record.reviewed_thresholds || "–"} `,
    ...(record.stale ? [make("span", { class: "stale", title: "The verdicts have changed since" }, "stale")] : [])];
}

function history(decisions) {
  const box = make("section", {}, make("h2", {}, "Decisions"));
  if (!decisions.length) box.append(make("p", { class: "note" }, "None yet."));
  else box.append(make("ul", { class: "history" }, ...decisions.map(record => make("li", {}, ...sentence(record)))));
  return box;
}

// ---- the page

function redraw() { for (const draw of draws) draw(); }

function followTheme() {
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  try {
    const root = parent.document.documentElement;
    if (parent !== window) dark = root.classList.contains("dark") || root.dataset.theme === "dark";
  } catch { /* another origin */ }
  if (document.documentElement.classList.toggle("dark", dark) !== followTheme.was) { followTheme.was = dark; redraw(); }
}

async function load() {
  draws.length = 0;
  document.onkeydown = null;
  try {
    let name = ASKED.get("project");
    if (ASKED.has("run_id")) name = (await ask(`api/run?dag_id=${encodeURIComponent(ASKED.get("dag_id"))}&run_id=${encodeURIComponent(ASKED.get("run_id"))}`)).project;
    if (name) project(await ask(`api/projects/${encodeURIComponent(name)}`));
    else list((await ask("api/projects")).projects);
  } catch (error) {
    MAIN.replaceChildren(make("p", { class: "trouble" }, error.message));
  }
  MAIN.removeAttribute("aria-busy");
}
followTheme();
setInterval(followTheme, 2000);
addEventListener("resize", redraw);
load();
