"use strict";
(() => {
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const search = document.getElementById("q");
  const state = new URLSearchParams(location.hash.slice(1));
  const chosen = new Set((state.get("severity") || "").split(",").filter(Boolean));

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const table of all("table")) {
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        const severity = row.dataset.severity;
        const fits = words.every((word) => text.includes(word)) && (!severity || !chosen.size || chosen.has(severity));
        row.hidden = !fits;
        if (fits) shown += 1;
      }
      const none = document.getElementById(table.id + "-none");
      if (none) none.hidden = shown > 0;
      const count = document.getElementById(table.id + "-count");
      if (count) count.textContent = shown === table.tBodies[0].rows.length ? shown : `${shown} of ${table.tBodies[0].rows.length}`;
    }
    for (const chip of all(".chips button")) chip.setAttribute("aria-pressed", chosen.has(chip.dataset.severity));
  };

  const sort = (table, at, descending) => {
    const key = (row) => row.cells[at].dataset.sort ?? row.cells[at].textContent;
    const order = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
    const rows = Array.from(table.tBodies[0].rows).map((row, n) => [key(row), n, row]);
    rows.sort((a, b) => (order.compare(a[0], b[0]) || a[1] - b[1]) * (descending ? -1 : 1));
    table.tBodies[0].append(...rows.map((r) => r[2]));
    for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[at].setAttribute("aria-sort", descending ? "descending" : "ascending");
  };

  const keep = () => {
    if (search.value) state.set("q", search.value); else state.delete("q");
    if (chosen.size) state.set("severity", Array.from(chosen).join(",")); else state.delete("severity");
    try { history.replaceState(null, "", "#" + state); } catch { /* a page of a file may be refused this */ }
  };

  for (const head of all("th button")) {
    head.addEventListener("click", () => {
      const cell = head.parentElement, table = cell.closest("table");
      const descending = cell.getAttribute("aria-sort") === "ascending";
      sort(table, cell.cellIndex, descending);
      state.set("sort", `${table.id}:${cell.cellIndex}${descending ? ":down" : ""}`);
      keep();
    });
  }
  for (const chip of all(".chips button")) {
    chip.addEventListener("click", () => {
      const severity = chip.dataset.severity;
      if (!chosen.delete(severity)) chosen.add(severity);
      apply();
      keep();
    });
  }
  search.addEventListener("input", () => { apply(); keep(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  });

  search.value = state.get("q") || "";
  const [id, at, down] = (state.get("sort") || "").split(":");
  const table = document.getElementById(id);
  if (table && table.tHead && table.tHead.rows[0].cells[+at]) sort(table, +at, down === "down");
  apply();
  document.documentElement.dataset.ready = "yes";
})();
