"use strict";
// Sort and filter only: without this script nothing is missing.
for (const table of document.querySelectorAll("table[data-sort]")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      for (const body of table.tBodies) {
        const rows = [...body.rows];
        rows.sort((one, other) =>
          one.cells[column].textContent.localeCompare(other.cells[column].textContent, "en", { numeric: true }));
        body.append(...(down ? rows.reverse() : rows));
      }
    });
  });
}
const nodes = document.getElementById("details");
if (nodes) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "search";
  label.append("Show only nodes with ", input);
  nodes.before(label);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const item of nodes.children) {
      item.hidden = !item.querySelector("summary").textContent.toLowerCase().includes(wanted);
    }
  });
}
