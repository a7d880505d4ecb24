/** Bar charts as SVG, readable on light and dark pages. */
import { formatNumber } from "./format.ts";

export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** `ours` is highlighted, a `baseline` is muted. */
  readonly kind: "ours" | "baseline" | "other";
}

/** Bars with a common scale. */
export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 800;
const LABEL_WIDTH = 190;
const VALUE_WIDTH = 110;
const BAR_HEIGHT = 18;
const BAR_GAP = 6;
const TITLE_HEIGHT = 44;
const GROUP_TITLE_HEIGHT = 30;
const MARGIN = 16;
const COLOURS = { ours: "#2f6fdb", baseline: "#9aa4b2", other: "#c9a15a" } as const;

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Rounds to one decimal, so that equal results create identical files. */
function n(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Returns a chart of groups, stacked vertically, each with its own scale from zero. A line shows the range. */
export function barChart(title: string, groups: readonly BarGroup[]): string {
  const parts: string[] = [];
  let y = TITLE_HEIGHT;
  for (const group of groups) {
    parts.push(`<text x="${MARGIN}" y="${n(y + 18)}" font-weight="600">${escapeXml(group.title)}</text>`);
    y += GROUP_TITLE_HEIGHT;
    const widest = Math.max(...group.bars.map(({ max }) => max), 0);
    const scale = widest > 0 ? (WIDTH - LABEL_WIDTH - VALUE_WIDTH - 2 * MARGIN) / widest : 0;
    const left = MARGIN + LABEL_WIDTH;
    for (const { label, value, min, max, kind } of group.bars) {
      const width = Math.max(value, 0) * scale;
      const middle = y + BAR_HEIGHT / 2;
      const text = y + BAR_HEIGHT - 5;
      const from = left + Math.max(min, 0) * scale;
      const to = left + Math.max(max, 0) * scale;
      parts.push(
        `<text x="${n(left - 8)}" y="${n(text)}" text-anchor="end">${escapeXml(label)}</text>`,
        `<rect x="${left}" y="${n(y)}" width="${n(width)}" height="${BAR_HEIGHT}" fill="${COLOURS[kind]}"/>`,
        `<line x1="${n(from)}" y1="${n(middle)}" x2="${n(to)}" y2="${n(middle)}" stroke="#1f2430" stroke-width="1.5"/>`,
        `<text x="${n(Math.max(to, left + width) + 8)}" y="${n(text)}">${formatNumber(value)}</text>`,
      );
      y += BAR_HEIGHT + BAR_GAP;
    }
    y += BAR_GAP;
  }
  const height = n(y + MARGIN);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`,
    ` font-family="system-ui, sans-serif" font-size="13" fill="#1f2430" role="img" aria-label="${escapeXml(title)}">\n`,
    `<rect width="100%" height="100%" fill="#ffffff"/>\n`,
    `<text x="${MARGIN}" y="28" font-size="16" font-weight="700">${escapeXml(title)}</text>\n`,
    parts.join("\n"),
    "\n</svg>\n",
  ].join("");
}
