// Tables of text.

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function rowOf(cells, heads) {
  const row = element("tr");
  row.append(...cells.map((text, k) => (heads(k) ? element("th", text, { scope: heads(k) }) : element("td", text))));
  return row;
}

function fillTable(table, { caption, head, rows }) {
  const body = element("tbody");
  body.append(...rows.map((cells) => rowOf(cells, (k) => (k === 0 ? "row" : ""))));
  const parts = [body];
  if (head) {
    const top = element("thead");
    top.append(rowOf(head, () => "col"));
    parts.unshift(top);
  }
  if (caption) parts.unshift(element("caption", caption));
  table.replaceChildren(...parts);
}

function drawReadings() {
  const names = [...new Set(files.flatMap((file) => file.series.map(named)))];
  const rows = names.map((name) => [
    name,
    ...files.map((file) => {
      const series = file.series.find((each) => named(each) === name);
      return series ? reading(file, series, flatIndex(file, cutIndices(file))) : "-";
    }),
  ]);
  fillTable(byId("readings"), { head: [isSurface ? "where the cuts cross" : "at the line", ...files.map(({ name }) => name)], rows });
}

function fillSharpness() {
  const { columns, rows, explained, notes } = data.sharpness;
  byId("sharpness").hidden = rows.length === 0;
  fillTable(byId("sharpness-table"), { head: columns, rows });
  byId("sharpness-explained").append(...explained.map((sentence) => element("li", sentence)));
  byId("sharpness-notes").append(...notes.map((note) => element("li", note)));
}

function fillVerdicts() {
  if (!data.verdicts) return;
  const { tables, notes, figure } = data.verdicts;
  const section = byId("verdicts");
  section.hidden = false;
  if (figure) byId("verdicts-figure").append(element("img", undefined, { src: figure, alt: "planes, rays and intervals" }));
  for (const { columns, rows } of tables) {
    const table = element("table");
    fillTable(table, { head: columns, rows });
    const scroll = element("div", undefined, { class: "scroll" });
    scroll.append(table);
    byId("verdicts-tables").append(scroll);
  }
  byId("verdicts-notes").append(...notes.map((note) => element("li", note)));
}

function fillMinima() {
  const known = files.filter(({ minima }) => minima !== null);
  byId("minima").hidden = known.length === 0;
  for (const { name, minima } of known) {
    const table = element("table");
    fillTable(table, { caption: `${name}, ${minima.of.replaceAll("_", " ")}`, head: minima.head, rows: minima.rows });
    const scroll = element("div", undefined, { class: "scroll" });
    scroll.append(table);
    byId("minima").append(scroll, element("p", minima.summary, { class: "quiet" }));
  }
}

function fillProvenance() {
  for (const file of files) {
    const table = element("table");
    const path = (file.trajectory?.provenance ?? []).map(([key, value]) => [`trajectory, ${key}`, value]);
    fillTable(table, { rows: [...file.provenance, ...path] });
    const details = element("details");
    const scroll = element("div", undefined, { class: "scroll" });
    scroll.append(table);
    details.append(element("summary", `${file.name}: ${file.title}`), scroll);
    byId("provenance").append(details);
  }
}

function fillSummary() {
  byId("summary").append(...files.map((file) => {
    const words = [`${file.name}: ${file.title}, ${file.summary}`, file.thinned, file.trajectory?.thinned].filter(Boolean);
    return element("li", words.join(". "));
  }));
}
