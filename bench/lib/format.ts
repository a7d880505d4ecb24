/** A number with three or four significant digits: `1,234,000`, `56.7`, `0.123`. */
export function formatNumber(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude === 0) return "0";
  if (magnitude < 100) return value.toFixed(magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3);
  const step = 10 ** Math.max(Math.floor(Math.log10(magnitude)) - 3, 0);
  return (Math.round(value / step) * step).toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** A Markdown table with aligned columns; columns after the first `leftColumns` are right-aligned. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[], leftColumns = 1): string {
  const widths = header.map((_, column) => Math.max(3, ...[header, ...rows].map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `| ${widths
      .map((width, column) => {
        const cell = cells[column] ?? "";
        return column < leftColumns ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column < leftColumns ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}

/** Wraps `text` at spaces to `columns`; lines after the first begin with `indent`. */
export function wrap(text: string, columns: number, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line.trim() !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = indent + word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join("\n");
}
